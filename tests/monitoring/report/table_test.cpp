#include "monitoring/report/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/error.h"

namespace hecate::monitoring {
namespace {

using ::testing::ElementsAre;
using ::testing::NanSensitiveDoubleEq;

const double kNone = std::nan("");

// Steps 1..rows with their squares as "loss", and "rare" on the first alone.
Table squares(int rows) {
  Table table;
  for (int i = 1; i <= rows; ++i) {
    table.add_row();
    table.set("step", i);
    table.set("loss", i * i);
    if (i == 1) table.set("rare", 7);
  }
  return table;
}

TEST(TableTest, RowsWithoutAValueAreNan) {
  Table table = squares(2);
  table.add_row();
  table.set("late", 5);
  EXPECT_EQ(table.rows(), 3);
  EXPECT_THAT(table.columns(), ElementsAre("late", "loss", "rare", "step"));
  EXPECT_THAT(table.values("late"),
              ElementsAre(NanSensitiveDoubleEq(kNone), NanSensitiveDoubleEq(kNone), 5));
  EXPECT_THAT(table.values("rare"),
              ElementsAre(7, NanSensitiveDoubleEq(kNone), NanSensitiveDoubleEq(kNone)));
  EXPECT_EQ(table.last("loss"), 4);
  EXPECT_TRUE(std::isnan(table.last("unknown")));
  EXPECT_THROW(Table().set("x", 1), InvalidArgument);
}

TEST(TableTest, MediansAndMeansAreOfTheLastHalf) {
  const Table table = squares(6);  // 16 25 36
  EXPECT_EQ(table.median("loss"), 25);
  EXPECT_DOUBLE_EQ(table.mean("loss"), 77.0 / 3);
  EXPECT_TRUE(std::isnan(table.median("rare")));
  EXPECT_EQ(table.mean("rare"), 0) << "a kind of operation that did not run took no time";
}

TEST(ThinnedTest, NeighboursBecomeMeansCountersTheirLast) {
  const Table thin = thinned(squares(7), 3, {"step"}, {"loss"});  // 1 4 9 | 16 25 36 | 49
  EXPECT_THAT(thin.values("step"), ElementsAre(3, 6, 7));
  EXPECT_THAT(thin.values("loss"), ElementsAre(14.0 / 3, 77.0 / 3, 49));
  EXPECT_THAT(thin.values("loss.low"), ElementsAre(1, 16, 49));
  EXPECT_THAT(thin.values("loss.high"), ElementsAre(9, 36, 49));
  EXPECT_EQ(thin.values("rare")[0], 7);
  EXPECT_TRUE(std::isnan(thin.values("rare")[1]));
}

TEST(ThinnedTest, ShortTablesStayAsTheyAre) {
  const Table thin = thinned(squares(3), 3, {"step"}, {"loss"});
  EXPECT_THAT(thin.values("loss"), ElementsAre(1, 4, 9));
  EXPECT_FALSE(thin.has("loss.low"));
  EXPECT_THROW(thinned(squares(3), 0, {}, {}), InvalidArgument);
}

}  // namespace
}  // namespace hecate::monitoring
