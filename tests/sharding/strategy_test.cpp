#include "sharding/strategy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/base/error.h"
#include "tests/sharding/random_cases.h"

namespace hecate::sharding {
namespace {

using collectives::Placement;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

LayerCost cost_of(const std::vector<int>& node_of) {
  LayerCost cost;
  cost.topology = {.node_of = node_of,
                   .inside = {.bytes_per_s = 1e10, .latency_s = 1e-6},
                   .between = {.bytes_per_s = 1e9, .latency_s = 1e-5}};
  cost.seconds_per_row = 1e-5;
  cost.row_bytes = 1000;
  cost.gather_bytes = cost.reduce_bytes = 1e6;
  return cost;
}

StrategyInputs inputs_of(const RandomCase& test) {
  return {.layers = test.layers,
          .experts = test.experts,
          .node_of = test.node_of,
          .overlap_degree = test.t,
          .memory_capacity = test.m,
          .reshard_interval = 3,
          .cost = cost_of(test.node_of),
          .rearrange = {.every = 3, .slots = test.m}};
}

StrategyInputs small(int layers, int experts, int devices, int per_node) {
  StrategyInputs inputs{.layers = layers,
                        .experts = experts,
                        .node_of = {},
                        .overlap_degree = 4,
                        .memory_capacity = 2,
                        .reshard_interval = 10};
  for (int d = 0; d < devices; ++d) inputs.node_of.push_back(d / per_node);
  if (devices > 0) inputs.cost = cost_of(inputs.node_of);
  return inputs;
}

StepLoads draw_step(RandomCase& test) {
  StepLoads step({test.layers, test.devices(), test.experts});
  for (int l = 0; l < test.layers; ++l)
    std::ranges::copy(test.draw_counts(), step.layer(l).begin());
  return step;
}

class EveryStrategyTest : public testing::TestWithParam<std::string> {};

TEST_P(EveryStrategyTest, PlansKeepOwnersAndSlotsThroughRandomRuns) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    RandomCase test("strategy", seed);
    const auto strategy = make_strategy(GetParam(), inputs_of(test));
    EXPECT_EQ(strategy->name(), GetParam());
    Ownership owners = strategy->initial_owners();
    LoadTracker loads({test.layers, test.devices(), test.experts});
    for (int64_t step = 1; step <= 7; ++step) {
      const auto plan = strategy->plan_step(owners, loads);
      ASSERT_EQ(std::ssize(plan), test.layers);
      for (int l = 0; l < test.layers; ++l) {
        const Placement owner = owners.placement(l);
        const Placement& layer = plan[static_cast<size_t>(l)];
        if (strategy->slices_experts()) {
          for (int e = 0; e < test.experts; ++e) EXPECT_FALSE(layer.holders(e).empty());
          for (int d = 0; d < test.devices(); ++d)
            EXPECT_LE(layer.held_by(d), strategy->slots()) << "seed " << seed;
          continue;
        }
        check_materialized(owner, layer);
        const Placement lives =
            strategy->keeps_replicas() ? strategy->residents()[static_cast<size_t>(l)] : owner;
        for (int d = 0; d < test.devices(); ++d)
          EXPECT_LE(layer.held_by(d) - lives.held_by(d), strategy->slots()) << "seed " << seed;
      }
      loads.record(draw_step(test));
      const auto copies = strategy->copies();
      if (auto next = strategy->next_owners(step, owners, loads)) {
        EXPECT_TRUE(strategy->moves_owners(step));
        EXPECT_TRUE(*next != owners || strategy->copies() != copies);
        owners = *next;
      }
    }
  }
}

TEST_P(EveryStrategyTest, EqualCallsGiveEqualPlans) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    std::vector<std::vector<Placement>> plans;
    for (int run = 0; run < 2; ++run) {
      RandomCase test("strategy", seed);
      const auto strategy = make_strategy(GetParam(), inputs_of(test));
      Ownership owners = strategy->initial_owners();
      LoadTracker loads({test.layers, test.devices(), test.experts});
      for (int64_t step = 1; step <= 4; ++step) {
        loads.record(draw_step(test));
        owners = strategy->next_owners(step, owners, loads).value_or(owners);
      }
      plans.push_back(strategy->plan_step(owners, loads));
    }
    EXPECT_EQ(plans[0], plans[1]) << "seed " << seed;
  }
}

TEST_P(EveryStrategyTest, RefusesStateThatItDoesNotKeep) {
  const auto strategy = make_strategy(GetParam(), small(2, 8, 4, 2));
  strategy->restore(strategy->state());
  EXPECT_THROW(strategy->restore(std::vector<int64_t>{1}), InvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Known, EveryStrategyTest,
                         testing::ValuesIn(strategy_names().begin(), strategy_names().end()),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(StrategyTest, UnknownNamesListTheKnownOnes) {
  EXPECT_THAT([] { make_strategy("fsdpp", small(1, 4, 2, 1)); },
              ThrowsMessage<InvalidArgument>(
                  AllOf(HasSubstr("fssdp, fssdp-rm, ep, fsdp"), HasSubstr("did you mean 'fsdp'"))));
}

TEST(StrategyTest, RefusesImpossibleInputs) {
  EXPECT_THROW(make_strategy("ep", small(0, 4, 2, 1)), InvalidArgument);
  EXPECT_THROW(make_strategy("ep", small(1, 4, 0, 1)), InvalidArgument);
  StrategyInputs inputs = small(1, 4, 2, 1);
  inputs.overlap_degree = -1;
  EXPECT_THROW(make_strategy("fssdp", inputs), InvalidArgument);
  inputs = small(1, 4, 2, 1);
  inputs.calibrate = true;
  inputs.cost = std::nullopt;
  EXPECT_THROW(make_strategy("fssdp", inputs), InvalidArgument);
}

TEST(StrategyTest, SparseCopiesTheHotAndReshardsAtItsInterval) {
  const auto strategy = make_strategy("fssdp", small(2, 8, 4, 2));
  LoadTracker loads({2, 4, 8});
  StepLoads step({2, 4, 8});
  for (int l = 0; l < 2; ++l)
    for (size_t s = 0; s < 4; ++s) step.layer(l)[s * 8 + 5] = 100;
  loads.record(step);
  const Ownership owners = strategy->initial_owners();
  for (const Placement& layer : strategy->plan_step(owners, loads))
    EXPECT_EQ(layer.holders(5).size(), 4u);
  EXPECT_FALSE(strategy->next_owners(9, owners, loads).has_value());
  EXPECT_FALSE(strategy->releases_after_forward());
  EXPECT_TRUE(make_strategy("fssdp-rm", small(2, 8, 4, 2))->releases_after_forward());
}

TEST(StrategyTest, SparseKeepsOwnersWithoutMeasuredLoads) {
  const auto strategy = make_strategy("fssdp", small(2, 8, 4, 2));
  const LoadTracker loads({2, 4, 8});
  EXPECT_FALSE(strategy->next_owners(10, strategy->initial_owners(), loads).has_value());
}

// Device 0 owns what every token wants; no copies.
class MovingPaysTest : public testing::Test {
 protected:
  MovingPaysTest() : loads_({1, 4, 8}) {
    StepLoads step({1, 4, 8});
    for (size_t i = 0; i < step.counts.size(); ++i) step.counts[i] = i % 8 < 2 ? 1000 : 1;
    loads_.record(step);
  }
  bool moves_with_state_of(double bytes, int interval = 10) {
    StrategyInputs inputs = small(1, 8, 4, 2);
    inputs.overlap_degree = inputs.memory_capacity = 0;
    inputs.reshard_interval = interval;
    inputs.cost =
        LayerCost{.topology = collectives::Topology::uniform(4, 2, {8e9, 1e-6}, {1e8, 1e-5}),
                  .seconds_per_row = 1e-6,
                  .row_bytes = 1e3,
                  .state_bytes = bytes};
    const auto strategy = make_strategy("fssdp", inputs);
    return strategy->next_owners(interval, strategy->initial_owners(), loads_).has_value();
  }

  LoadTracker loads_;
};

TEST_F(MovingPaysTest, OwnersMoveWhereTheIntervalSavesMoreThanTheMoveTakes) {
  EXPECT_TRUE(moves_with_state_of(0));
  EXPECT_TRUE(moves_with_state_of(1e3));
  EXPECT_FALSE(moves_with_state_of(1e9));
  EXPECT_FALSE(moves_with_state_of(1e8, 10));
  EXPECT_TRUE(moves_with_state_of(1e8, 1000));
}

TEST(StrategyTest, CalibrationCopiesWhatTheForecastMissed) {
  StrategyInputs inputs = small(1, 4, 4, 2);
  inputs.calibrate = true;
  inputs.memory_capacity = 1;
  inputs.cost =
      LayerCost{.topology = collectives::Topology::uniform(4, 2, {8e9, 1e-6}, {1e8, 1e-5}),
                .seconds_per_row = 1e-5,
                .row_bytes = 1e3,
                .gather_bytes = 1e4};
  const auto strategy = make_strategy("fssdp", inputs);
  EXPECT_TRUE(strategy->plans_after_gate());
  EXPECT_EQ(strategy->slots(), 1);
  const Ownership owners = strategy->initial_owners();
  std::vector<int64_t> counts(16);
  for (size_t s = 0; s < 4; ++s) counts[s * 4 + 3] = 1000;
  const auto better = strategy->plan_after_gate(0, owners, owners.placement(0), counts);
  ASSERT_TRUE(better.has_value());
  EXPECT_EQ(better->holders(3).size(), 4u);
  EXPECT_FALSE(strategy->plan_after_gate(0, owners, *better, counts).has_value());
  inputs.calibrate = false;
  EXPECT_FALSE(make_strategy("fssdp", inputs)
                   ->plan_after_gate(0, owners, owners.placement(0), counts)
                   .has_value());
}

TEST(StrategyTest, FullyShardedPutsEveryExpertEverywhere) {
  const auto strategy = make_strategy("fsdp", small(2, 5, 3, 3));
  const LoadTracker loads({2, 3, 5});
  for (const Placement& layer : strategy->plan_step(strategy->initial_owners(), loads))
    for (int e = 0; e < 5; ++e) EXPECT_EQ(layer.holders(e).size(), 3u);
  EXPECT_TRUE(strategy->releases_after_forward());
}

TEST(ExpertParallelTest, CopiesNothingWithAtMostAsManyDevicesAsExperts) {
  const auto strategy = make_strategy("ep", small(2, 8, 4, 2));
  const LoadTracker loads({2, 4, 8});
  const Ownership owners = strategy->initial_owners();
  const auto plan = strategy->plan_step(owners, loads);
  for (int l = 0; l < 2; ++l) EXPECT_EQ(plan[static_cast<size_t>(l)], owners.placement(l));
  EXPECT_EQ(strategy->slots(), 0);
}

TEST(ExpertParallelTest, MoreDevicesThanExpertsFormGroupsThatHoldAllExpertsEach) {
  const auto strategy = make_strategy("ep", small(3, 4, 8, 2));
  const LoadTracker loads({3, 8, 4});
  const Ownership owners = strategy->initial_owners();
  for (const Placement& layer : strategy->plan_step(owners, loads))
    for (int e = 0; e < 4; ++e) {
      const auto holders = layer.holders(e);
      EXPECT_EQ(std::vector<int>(holders.begin(), holders.end()), (std::vector<int>{e, e + 4}));
    }
  EXPECT_EQ(strategy->dispatch_groups(), (std::vector<int>{0, 0, 0, 0, 1, 1, 1, 1}));
}

TEST(ExpertParallelTest, DegreeFillsDevicesEvenly) {
  EXPECT_EQ(ep_degree(8, 4), 4);
  EXPECT_EQ(ep_degree(6, 4), 2);  // 2 experts on each of two, as on the fullest of three
  EXPECT_EQ(ep_degree(9, 4), 3);
  EXPECT_EQ(ep_degree(7, 4), 1);
  EXPECT_EQ(ep_degree(3, 1), 1);
}

}  // namespace
}  // namespace hecate::sharding
