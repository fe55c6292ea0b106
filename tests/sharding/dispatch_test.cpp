#include "sharding/dispatch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "runtime/base/error.h"
#include "sharding/cost.h"
#include "sharding/materialization.h"
#include "tests/sharding/random_cases.h"

namespace hecate::sharding {
namespace {

using collectives::Placement;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr DispatchPolicy kBoth[] = {DispatchPolicy::nearest, DispatchPolicy::level};

Placement random_placement(RandomCase& test) {
  Placement placement(test.experts, test.devices());
  for (int e = 0; e < test.experts; ++e) {
    placement.add(e, test.below(test.devices()));
    for (int copies = test.below(4); copies > 0; --copies)
      placement.add(e, test.below(test.devices()));
    if (test.below(8) == 0) placement.add_everywhere(e);
  }
  return placement;
}

int64_t highest(const DispatchPlan& plan) {
  int64_t most = 0;
  for (int d = 0; d < plan.devices(); ++d) most = std::max(most, plan.rows_on(d));
  return most;
}

struct Drawn {
  RandomCase test;
  Placement placement;
  std::vector<int64_t> counts;
  DispatchPlan plan;
};
Drawn draw(uint64_t seed, DispatchPolicy policy) {
  RandomCase test("dispatch", seed);
  Placement placement = random_placement(test);
  auto counts = test.draw_counts();
  DispatchPlan plan = plan_dispatch(counts, placement, test.node_of, policy);
  return {std::move(test), std::move(placement), std::move(counts), std::move(plan)};
}

TEST(DispatchTest, EveryTokenGoesToOneHolder) {
  for (DispatchPolicy policy : kBoth)
    for (uint64_t seed = 0; seed < 2000; ++seed) {
      const auto [test, placement, counts, plan] = draw(seed, policy);
      std::vector<int64_t> between(plan.rows_between().size());
      for (int s = 0; s < test.devices(); ++s)
        for (int e = 0; e < test.experts; ++e) {
          int64_t sum = 0;
          int last = -1;
          for (const DispatchPiece& piece : plan.pieces(s, e)) {
            EXPECT_TRUE(placement.holds(e, piece.holder));
            EXPECT_GT(piece.rows, 0);
            EXPECT_GT(piece.holder, last);
            last = piece.holder;
            sum += piece.rows;
            between[static_cast<size_t>(s * test.devices() + piece.holder)] += piece.rows;
          }
          ASSERT_EQ(sum, counts[static_cast<size_t>(s * test.experts + e)]) << "seed " << seed;
        }
      EXPECT_TRUE(std::ranges::equal(between, plan.rows_between()));
    }
}

TEST(DispatchTest, ReceiversSeeWhatSendersSend) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const auto [test, placement, counts, plan] = draw(seed, DispatchPolicy::level);
    for (int d = 0; d < test.devices(); ++d) {
      const auto received = plan.received(d);
      for (int s = 0; s < test.devices(); ++s)
        for (int e = 0; e < test.experts; ++e)
          EXPECT_EQ(received[static_cast<size_t>(s * test.experts + e)], plan.rows(s, e, d));
      EXPECT_EQ(std::accumulate(received.begin(), received.end(), int64_t{0}), plan.rows_on(d));
    }
  }
}

TEST(DispatchTest, NearestStaysThenKeepsToTheNodeAndSplitsWithinOne) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const auto [test, placement, counts, plan] = draw(seed, DispatchPolicy::nearest);
    for (int s = 0; s < test.devices(); ++s)
      for (int e = 0; e < test.experts; ++e) {
        const int64_t count = counts[static_cast<size_t>(s * test.experts + e)];
        if (count == 0) continue;
        std::vector<int> among;
        for (int d : placement.holders(e))
          if (test.node_of[static_cast<size_t>(d)] == test.node_of[static_cast<size_t>(s)])
            among.push_back(d);
        if (placement.holds(e, s)) among = {s};
        if (among.empty()) among.assign(placement.holders(e).begin(), placement.holders(e).end());
        int64_t sum = 0;
        for (int d : among) {
          const int64_t rows = plan.rows(s, e, d), each = count / std::ssize(among);
          EXPECT_TRUE(rows == each || rows == each + 1) << rows << " of " << count;
          sum += rows;
        }
        ASSERT_EQ(sum, count) << "seed " << seed << ": a row left the nearest holders";
      }
  }
}

TEST(DispatchTest, RemaindersRotateWithSourceAndExpert) {
  // Four devices on four nodes; the last two hold both experts.
  Placement placement(2, 4);
  for (int e = 0; e < 2; ++e)
    for (int d : {2, 3}) placement.add(e, d);
  const std::vector<int> node_of = {0, 1, 2, 3};
  const auto plan = plan_dispatch(std::vector<int64_t>{3, 3, 3, 3, 0, 0, 0, 0}, placement, node_of);
  EXPECT_THAT(plan.pieces(0, 0), ElementsAre(DispatchPiece{2, 2}, DispatchPiece{3, 1}));
  EXPECT_THAT(plan.pieces(0, 1), ElementsAre(DispatchPiece{2, 1}, DispatchPiece{3, 2}));
  EXPECT_THAT(plan.pieces(1, 0), ElementsAre(DispatchPiece{2, 1}, DispatchPiece{3, 2}));
  EXPECT_THAT(plan.pieces(1, 1), ElementsAre(DispatchPiece{2, 2}, DispatchPiece{3, 1}));
}

// By brute force: the least possible maximum, as a maximum over sets of devices of the rows that
// only they can take, evenly shared.
int64_t least_maximum(const Placement& placement, std::span<const int64_t> counts) {
  const int devices = placement.devices(), experts = placement.experts();
  int64_t least = 0;
  for (int set = 1; set < 1 << devices; ++set) {
    int64_t bound_rows = 0, size = 0;
    for (int d = 0; d < devices; ++d) size += set >> d & 1;
    for (int e = 0; e < experts; ++e) {
      bool only_there = true;
      for (int d : placement.holders(e)) only_there = only_there && (set >> d & 1) != 0;
      for (int s = 0; only_there && s < devices; ++s)
        bound_rows += counts[static_cast<size_t>(s * experts + e)];
    }
    least = std::max(least, (bound_rows + size - 1) / size);
  }
  return least;
}

TEST(DispatchTest, LevelReachesTheLeastMaximum) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const auto [test, placement, counts, plan] = draw(seed, DispatchPolicy::level);
    EXPECT_EQ(highest(plan), least_maximum(placement, counts)) << "seed " << seed;
  }
}

TEST(DispatchTest, LevelIsNeverHigherThanNearest) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const auto [test, placement, counts, plan] = draw(seed, DispatchPolicy::level);
    EXPECT_LE(highest(plan), highest(plan_dispatch(counts, placement, test.node_of)));
  }
}

TEST(DispatchTest, LevelLeavesAloneWhatIsLevel) {
  Placement placement(3, 4);
  for (int e = 0; e < 3; ++e) placement.add_everywhere(e);
  const std::vector<int> node_of = {0, 0, 1, 1};
  const std::vector<int64_t> counts = {9, 0, 1, 0, 10, 0, 2, 2, 6, 5, 5, 0};
  const auto plan = plan_dispatch(counts, placement, node_of, DispatchPolicy::level);
  for (int d = 0; d < 4; ++d) EXPECT_EQ(plan.rows_between(d, d), 10);
}

TEST(DispatchTest, LevelPassesRowsOnOverSeveralDevices) {
  // Device 0 shares expert 0 with 1 alone, 1 shares expert 1 with 2 alone.
  Placement placement(2, 3);
  for (int d : {0, 1}) placement.add(0, d);
  for (int d : {1, 2}) placement.add(1, d);
  const std::vector<int> node_of = {0, 0, 0};
  const std::vector<int64_t> counts = {60, 0, 0, 30, 0, 0};
  EXPECT_EQ(highest(plan_dispatch(counts, placement, node_of, DispatchPolicy::level)), 30);
}

TEST(DispatchTest, OneDeviceKeepsEverything) {
  const Placement placement = Placement::from_owners(std::vector<int>{0, 0}, 1);
  for (DispatchPolicy policy : kBoth) {
    const auto plan =
        plan_dispatch(std::vector<int64_t>{5, 0}, placement, std::vector<int>{0}, policy);
    EXPECT_THAT(plan.pieces(0, 0), ElementsAre(DispatchPiece{0, 5}));
    EXPECT_THAT(plan.pieces(0, 1), ElementsAre());
  }
}

TEST(DispatchTest, AnExpertWithoutTokensNeedsNoHolder) {
  const Placement placement(1, 2);
  const std::vector<int> node_of = {0, 0};
  EXPECT_NO_THROW(plan_dispatch(std::vector<int64_t>{0, 0}, placement, node_of));
  EXPECT_THAT(
      [&] {
        plan_dispatch(std::vector<int64_t>{0, 1}, placement, node_of);
      },
      ThrowsMessage<InvalidArgument>(HasSubstr("expert 0 has tokens and no holder")));
}

TEST(DispatchTest, RefusesOtherShapesAndNegativeCounts) {
  const Placement placement = Placement::from_owners(std::vector<int>{0, 1}, 2);
  const std::vector<int> node_of = {0, 0};
  EXPECT_THROW(plan_dispatch(std::vector<int64_t>{1, 2, 3}, placement, node_of), InvalidArgument);
  EXPECT_THROW(plan_dispatch(std::vector<int64_t>{1, 2, 3, -4}, placement, node_of),
               InvalidArgument);
  EXPECT_THROW(plan_dispatch(std::vector<int64_t>{1, 2, 3, 4}, placement, std::vector<int>{0}),
               InvalidArgument);
  EXPECT_THROW(dispatch_policy("fair"), InvalidArgument);
  EXPECT_EQ(dispatch_policy("level"), DispatchPolicy::level);
}

}  // namespace
}  // namespace hecate::sharding
