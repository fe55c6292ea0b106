#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "runtime/base/error.h"
#include "sharding/dispatch.h"
#include "sharding/policies/flexmoe.h"
#include "sharding/policies/laer.h"
#include "tests/sharding/random_cases.h"

namespace hecate::sharding {
namespace {

using testing::ElementsAre;

LayerCost cost_on(std::vector<int> node_of, double seconds_per_row = 1) {
  LayerCost cost;
  cost.topology = {.node_of = std::move(node_of),
                   .inside = {.bytes_per_s = 100, .latency_s = 0},
                   .between = {.bytes_per_s = 10, .latency_s = 0}};
  cost.seconds_per_row = seconds_per_row;
  cost.row_bytes = 1;
  cost.gather_bytes = cost.reduce_bytes = 20;
  return cost;
}

std::vector<int> counts_of(const ExpertCopies& copies) {
  return {copies.counts().begin(), copies.counts().end()};
}

TEST(ExpertCopiesTest, FillSlotsWithWhatTheirDeviceOwns) {
  const ExpertCopies copies = ExpertCopies::of_owners(std::vector<int>{0, 0, 1}, 3, 3);
  EXPECT_THAT(counts_of(copies), ElementsAre(2, 0, 1,  //
                                             1, 0, 2,  //
                                             0, 3, 0));
  EXPECT_THROW(ExpertCopies::of_owners(std::vector<int>{0, 0, 1}, 3, 1), InvalidArgument);
}

TEST(FlexMoeTest, LetsBeWhatIsBelowTheThreshold) {
  const ExpertCopies copies = ExpertCopies::of_owners(std::vector<int>{0, 1}, 2, 2);
  const std::vector<double> loads = {33, 17, 33, 17};  // 66 and 34: 1.32 times the mean
  EXPECT_EQ(flexmoe(copies, loads, cost_on({0, 0}), {.threshold = 1.33}), copies);
  EXPECT_NE(flexmoe(copies, loads, cost_on({0, 0}), {.threshold = 1.31}), copies);
}

// 90 and 10 tokens; a slot of the light expert for the heavy one leaves 60 and 40, the second one
// would leave the light one without any.
TEST(FlexMoeTest, TheHeaviestTakesASlotOfTheLightest) {
  const ExpertCopies copies = ExpertCopies::of_owners(std::vector<int>{0, 1}, 2, 2);
  const std::vector<double> loads = {45, 5, 45, 5};
  const LayerCost cost = cost_on({0, 0});
  EXPECT_THAT(counts_of(flexmoe(copies, loads, cost, {})), ElementsAre(2, 1, 0, 1));
  // Device 0 computes 60 rows, 30 of which come from device 1 on each of four exchanges, and sums
  // gradients of expert 0 with device 1: 60 + 4 * 30 / 100 + 20 / 100.
  EXPECT_NEAR(flexmoe_cost(flexmoe(copies, loads, cost, {}), loads, cost).seconds, 61.4, 1e-12);
  // Summing gradients may cost more than it brings.
  LayerCost slow = cost;
  slow.reduce_bytes = 1e6;
  EXPECT_EQ(flexmoe(copies, loads, slow, {}), copies);
}

// Expert 0 sums gradients across the nodes until its slot on device 2 goes to device 1.
TEST(FlexMoeTest, SwapsBringReplicasTogether) {
  ExpertCopies copies(3, 4);
  copies.add(0, 0);
  copies.add(0, 2);
  copies.add(1, 1);
  copies.add(2, 3);
  std::vector<double> loads(12);
  for (size_t i = 0; i < loads.size(); ++i) loads[i] = i % 3 == 0 ? 10 : 9.9;
  const LayerCost cost = cost_on({0, 0, 1, 1}, 1e3);
  const ExpertCopies after = flexmoe(copies, loads, cost, {.threshold = 1});
  EXPECT_THAT(counts_of(after), ElementsAre(1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1));
  EXPECT_NEAR(flexmoe_cost(copies, loads, cost).sync_seconds, 2, 1e-12);
  EXPECT_NEAR(flexmoe_cost(after, loads, cost).sync_seconds, 0.2, 1e-12);
}

TEST(FlexMoeTest, NeverCostsMoreAndKeepsSlotsAndExperts) {
  int changed = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    RandomCase test("flexmoe", seed);
    const int slots = (test.experts + test.devices() - 1) / test.devices() + test.below(3);
    std::vector<int> owners;
    for (int e = 0; e < test.experts; ++e) owners.push_back(e % test.devices());
    const ExpertCopies before = ExpertCopies::of_owners(owners, test.devices(), slots);
    const std::vector<int64_t> counts = test.draw_counts();
    const std::vector<double> loads(counts.begin(), counts.end());
    const LayerCost cost = cost_on(test.node_of);
    const ExpertCopies after = flexmoe(before, loads, cost, {.threshold = 1});
    changed += after != before;
    EXPECT_LE(flexmoe_cost(after, loads, cost).seconds, flexmoe_cost(before, loads, cost).seconds);
    for (int d = 0; d < test.devices(); ++d) EXPECT_EQ(after.used(d), slots);
    for (int e = 0; e < test.experts; ++e) EXPECT_GE(after.total(e), 1) << "seed " << seed;
  }
  EXPECT_GT(changed, 30);
}

// Five replicas for the expert with 80 of 108 tokens; they go where the least load is, so device 0
// has two of them, and the rest fill the other devices.
TEST(LaerTest, ReplicatesInProportionToLoad) {
  std::vector<int64_t> counts;
  for (int s = 0; s < 4; ++s) counts.insert(counts.end(), {20, 3, 2, 2});
  const LaerLayout layout = laer_layout(counts, 2, cost_on({0, 0, 0, 0}));
  EXPECT_THAT(counts_of(layout.copies), ElementsAre(2, 1, 1, 1,  //
                                                    0, 1, 0, 0,  //
                                                    0, 0, 1, 0,  //
                                                    0, 0, 0, 1));
}

TEST(LaerTest, EvenLoadsKeepTheEvenLayout) {
  const std::vector<int64_t> counts(16, 5);
  const LaerLayout layout = laer_layout(counts, 2, cost_on({0, 0, 1, 1}));
  for (int e = 0; e < 4; ++e) {
    EXPECT_EQ(layout.copies.total(e), 2);
    // One on each node: rows never leave theirs, and half of them not even their device.
    EXPECT_EQ(layout.copies.count(e, 0) + layout.copies.count(e, 1), 1);
  }
  // Every device computes 20 rows; of 80 rows half move inside a node in each of four exchanges.
  EXPECT_NEAR(layout.seconds, 20 + 4 * 40 / 100.0, 1e-9);
}

TEST(LaerTest, FillsNoMoreThanTheSlotsAndIsNoWorseThanEven) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    RandomCase test("laer", seed);
    const int devices = test.devices(), experts = test.experts;
    const int slots = (experts + devices - 1) / devices + test.below(3);
    const std::vector<int64_t> counts = test.draw_counts();
    const LayerCost cost = cost_on(test.node_of);
    const LaerLayout layout = laer_layout(counts, slots, cost);
    for (int d = 0; d < devices; ++d) EXPECT_LE(layout.copies.used(d), slots) << "seed " << seed;
    for (int e = 0; e < experts; ++e) EXPECT_GE(layout.copies.total(e), 1) << "seed " << seed;
    EXPECT_EQ(laer_layout(counts, slots, cost).copies, layout.copies);
  }
  EXPECT_THROW(laer_layout(std::vector<int64_t>(6, 1), 1, cost_on({0, 0})), InvalidArgument);
}

TEST(EvenDispatchTest, SplitsByShares) {
  collectives::Placement placement(1, 3);
  for (int d : {0, 2}) placement.add(0, d);
  const std::vector<int64_t> counts = {30, 0, 9};
  const std::vector<int> nodes = {0, 0, 1}, shares = {2, 0, 1};
  const DispatchPlan even = plan_dispatch(counts, placement, nodes, DispatchPolicy::even);
  EXPECT_THAT(even.rows_between(), ElementsAre(15, 0, 15, 0, 0, 0, 5, 0, 4));
  const DispatchPlan shared = plan_dispatch(counts, placement, nodes, DispatchPolicy::even, shares);
  EXPECT_THAT(shared.rows_between(), ElementsAre(20, 0, 10, 0, 0, 0, 6, 0, 3));
  EXPECT_THROW(plan_dispatch(counts, placement, nodes, DispatchPolicy::even, std::vector{2, 1, 1}),
               InvalidArgument);
}

TEST(EvenDispatchTest, StaysInTheNodeWhereItCan) {
  collectives::Placement placement(2, 4);
  for (int d : {0, 1, 2}) placement.add(0, d);
  placement.add(1, 3);
  const std::vector<int64_t> counts = {10, 4, 0, 0, 0, 0, 8, 0};
  const DispatchPlan plan =
      plan_dispatch(counts, placement, std::vector{0, 0, 1, 1}, DispatchPolicy::node_even);
  EXPECT_THAT(plan.rows_between(), ElementsAre(5, 5, 0, 4,  //
                                               0, 0, 0, 0,  //
                                               0, 0, 0, 0,  //
                                               0, 0, 8, 0));
}

TEST(EvenDispatchTest, KeepsEveryRow) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    RandomCase test("even dispatch", seed);
    ExpertCopies copies(test.experts, test.devices());
    for (int e = 0; e < test.experts; ++e)
      for (int i = 0; i <= test.below(4); ++i) copies.add(e, test.below(test.devices()));
    const std::vector<int64_t> counts = test.draw_counts();
    for (DispatchPolicy policy : {DispatchPolicy::even, DispatchPolicy::node_even}) {
      const DispatchPlan plan =
          plan_dispatch(counts, copies.placement(), test.node_of, policy, copies.counts());
      for (int s = 0; s < test.devices(); ++s)
        for (int e = 0; e < test.experts; ++e) {
          int64_t rows = 0;
          for (const DispatchPiece& piece : plan.pieces(s, e)) rows += piece.rows;
          EXPECT_EQ(rows, counts[static_cast<size_t>(s * test.experts + e)]) << "seed " << seed;
        }
    }
  }
}

}  // namespace
}  // namespace hecate::sharding
