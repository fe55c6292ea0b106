#include "scheduler/population/search_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "runtime/base/error.h"

namespace hecate::population {
namespace {

using ::testing::HasSubstr;

DimensionConfig dimension(const std::string& key, const std::string& kind, double min, double max,
                          std::vector<std::string> values = {}) {
  DimensionConfig result;
  result.key = key;
  result.kind = kind;
  result.min = min;
  result.max = max;
  result.values = std::move(values);
  return result;
}

std::vector<DimensionConfig> every_kind() {
  return {dimension("rate", "log_uniform", 1e-4, 1e-1), dimension("jitter", "uniform", 0, 0.5),
          dimension("warmup", "integer", 0, 40),
          dimension("batch", "choice", 0, 0, {"8", "16", "32", "64"}),
          dimension("beta2", "constant", 0, 0, {"0.95"})};
}

std::string error_of(const DimensionConfig& bad) {
  try {
    SearchSpace space({bad});
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "";
}

class Explored : public ::testing::TestWithParam<const char*> {};

TEST_P(Explored, StaysWithinTheBoundsForManyGenerations) {
  const SearchSpace space(every_kind());
  PopulationConfig config;
  config.explore = GetParam();
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Draws first(seed, 0);
    Point point = space.sample(first);
    for (uint64_t generation = 1; generation < 300; ++generation) {
      Draws draws(seed, generation);
      point = space.explore(point, config, draws);
      for (size_t i = 0; i < 3; ++i) {
        ASSERT_GE(point[i], space.dimensions()[i].min);
        ASSERT_LE(point[i], space.dimensions()[i].max);
      }
      ASSERT_EQ(point[2], std::round(point[2]));
      ASSERT_TRUE(point[3] == 0 || point[3] == 1 || point[3] == 2 || point[3] == 3);
      ASSERT_EQ(point[4], 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, Explored, ::testing::Values("perturb", "resample", "additive"),
                         [](const auto& rule) { return std::string(rule.param); });

TEST(SearchSpaceTest, PerturbMultipliesByOneOfTheFactors) {
  const SearchSpace space({dimension("rate", "log_uniform", 1e-9, 1e9)});
  int up = 0;
  for (uint64_t counter = 0; counter < 1000; ++counter) {
    Draws draws(7, counter);
    const double value = space.explore({2}, PopulationConfig(), draws)[0];
    ASSERT_TRUE(value == 2 * 0.8 || value == 2 * 1.2) << value;
    up += value > 2 ? 1 : 0;
  }
  EXPECT_NEAR(up, 500, 80);
}

TEST(SearchSpaceTest, ASmallIntegerIsNotStuckByRounding) {
  const SearchSpace space({dimension("n", "integer", 0, 100)});
  for (uint64_t counter = 0; counter < 50; ++counter) {
    Draws draws(1, counter);
    EXPECT_NE(space.explore({2}, PopulationConfig(), draws)[0], 2);
  }
}

TEST(SearchSpaceTest, AdditiveMovesAZero) {
  const SearchSpace space({dimension("jitter", "uniform", 0, 0.5)});
  PopulationConfig config;
  config.explore = "additive";
  int moved = 0;
  for (uint64_t counter = 0; counter < 100; ++counter) {
    Draws draws(1, counter);
    moved += space.explore({0}, config, draws)[0] > 0 ? 1 : 0;
  }
  EXPECT_GT(moved, 30);
}

TEST(SearchSpaceTest, ResampleDrawsAnewWithItsProbability) {
  const SearchSpace space({dimension("rate", "log_uniform", 1e-3, 1e3)});
  PopulationConfig config;
  config.explore = "resample";
  int perturbed = 0;
  for (uint64_t counter = 0; counter < 2000; ++counter) {
    Draws draws(3, counter);
    const double value = space.explore({1}, config, draws)[0];
    perturbed += value == 0.8 || value == 1.2 ? 1 : 0;
  }
  EXPECT_NEAR(perturbed, 1500, 80);
}

TEST(SearchSpaceTest, LogUniformSpreadsOverDecadesEvenly) {
  const SearchSpace space({dimension("rate", "log_uniform", 1e-4, 1)});
  int low = 0;
  for (uint64_t counter = 0; counter < 2000; ++counter) {
    Draws draws(5, counter);
    low += space.sample(draws)[0] < 1e-2 ? 1 : 0;
  }
  EXPECT_NEAR(low, 1000, 100);
}

TEST(SearchSpaceTest, TextReadsBackToTheSameBits) {
  const SearchSpace space(every_kind());
  for (uint64_t counter = 0; counter < 200; ++counter) {
    Draws draws(11, counter);
    const Point point = space.sample(draws);
    EXPECT_EQ(space.parse(space.settings(point)), point);
  }
}

TEST(SearchSpaceTest, SameSeedAndCounterGiveTheSamePoint) {
  const SearchSpace space(every_kind());
  Draws a(1, 9), b(1, 9), c(2, 9), d(1, 10);
  const Point first = space.sample(a);
  EXPECT_EQ(first, space.sample(b));
  EXPECT_NE(first, space.sample(c));
  EXPECT_NE(first, space.sample(d));
}

TEST(SearchSpaceTest, ImpossibleDimensionsAreRefusedByName) {
  EXPECT_THAT(error_of(dimension("rate", "log_uniform", 0, 1)), HasSubstr("rate: log_uniform"));
  EXPECT_THAT(error_of(dimension("rate", "uniform", 2, 1)), HasSubstr("min not above max"));
  EXPECT_THAT(error_of(dimension("n", "integer", 0.5, 3)), HasSubstr("whole bounds"));
  EXPECT_THAT(error_of(dimension("c", "choice", 0, 0)), HasSubstr("expected values"));
  EXPECT_THAT(error_of(dimension("c", "constant", 0, 0, {"1", "2"})), HasSubstr("one value"));
  EXPECT_THAT(error_of(dimension("", "uniform", 0, 1)), HasSubstr("without key"));
}

}  // namespace
}  // namespace hecate::population
