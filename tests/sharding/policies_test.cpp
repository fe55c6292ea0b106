#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/base/error.h"
#include "sharding/policies/eplb.h"
#include "sharding/policies/fastermoe.h"
#include "sharding/policies/smartmoe.h"
#include "tests/sharding/random_cases.h"

namespace hecate::sharding {
namespace {

using testing::ElementsAre;

// One token costs 4 s, a model 20 s.
constexpr FasterMoeCost kCost{
    .d_model = 10, .hidden_ratio = 1, .bytes = 1, .bandwidth = 10, .flops = 1e12};

TEST(FasterMoeTest, ShadowsWhileTheModelledTimeFalls) {
  EXPECT_THAT(shadowed_experts(std::vector<double>{10, 1000, 10, 400}, kCost), ElementsAre(1, 3));
  EXPECT_THAT(shadowed_experts(std::vector<double>{10, 10, 10}, kCost), ElementsAre());
  EXPECT_THAT(shadowed_experts(std::vector<double>{}, kCost), ElementsAre());
}

TEST(FasterMoeTest, RefusesCostsThatAreNotPositive) {
  FasterMoeCost free = kCost;
  free.flops = 0;
  EXPECT_THROW(shadowed_experts(std::vector<double>{1}, free), InvalidArgument);
  EXPECT_THROW(shadowed_experts(std::vector<double>{-1}, kCost), InvalidArgument);
}

TEST(SmartMoeTest, TiesGoToThePresentOwner) {
  const SmartMoePlan plan =
      exchange_experts(std::vector<int>{0, 0, 1, 1}, std::vector<double>{9, 8, 1, 1}, 2, 2);
  EXPECT_TRUE(plan.adopted);
  EXPECT_THAT(plan.owners, ElementsAre(0, 1, 1, 0));
}

TEST(SmartMoeTest, NeverRaisesTheHighestLoadAndKeepsToTheSlots) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    RandomCase test("smartmoe", seed);
    const int slots = (test.experts + test.devices() - 1) / test.devices() + test.below(2);
    std::vector<int> owners;
    for (int e = 0; e < test.experts; ++e) owners.push_back(e % test.devices());
    const auto highest = [&](const std::vector<int>& owner_of) {
      std::vector<double> load(static_cast<size_t>(test.devices()));
      for (size_t e = 0; e < owner_of.size(); ++e)
        load[static_cast<size_t>(owner_of[e])] += test.loads[0][e];
      return *std::ranges::max_element(load);
    };
    const SmartMoePlan plan = exchange_experts(owners, test.loads[0], test.devices(), slots);
    for (int d = 0; d < test.devices(); ++d) EXPECT_LE(std::ranges::count(plan.owners, d), slots);
    EXPECT_EQ(plan.adopted, highest(plan.owners) < highest(owners)) << "seed " << seed;
    EXPECT_TRUE(plan.adopted || plan.owners == owners);
  }
}

TEST(SmartMoeTest, RefusesExpertsWithoutRoom) {
  EXPECT_THROW(exchange_experts(std::vector<int>{0, 1, 1}, std::vector<double>{1, 1, 1}, 2, 1),
               InvalidArgument);
  EXPECT_THROW(exchange_experts(std::vector<int>{0, 2}, std::vector<double>{1, 1}, 2, 1),
               InvalidArgument);
}

TEST(EplbTest, CopiesTheExpertWithTheHighestLoadPerCopy) {
  const EplbLayer layer = eplb(std::vector<double>{30, 10, 6, 5},
                               {.replicas = 6, .groups = 1, .nodes = 1, .devices = 2});
  EXPECT_THAT(layer.copies, ElementsAre(3, 1, 1, 1));
  EXPECT_THAT(layer.expert_of, ElementsAre(0, 0, 2, 1, 0, 3));
}

TEST(EplbTest, FillsEverySlotAndKeepsGroupsOnTheirNode) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    RandomCase test("eplb", seed);
    const int nodes = 1 + test.below(3), per_node = 1 + test.below(3), devices = nodes * per_node;
    const int groups = nodes * (1 + test.below(2)), group_size = 1 + test.below(4);
    test.experts = groups * group_size;
    const auto loads = test.draw_loads();
    const int replicas = devices * ((test.experts + devices - 1) / devices + test.below(3));
    const EplbLayer layer =
        eplb(loads, {.replicas = replicas, .groups = groups, .nodes = nodes, .devices = devices});
    ASSERT_EQ(std::ssize(layer.expert_of), replicas);
    std::vector<int> node_of(static_cast<size_t>(groups), -1);
    for (int e = 0; e < test.experts; ++e) {
      EXPECT_EQ(std::ranges::count(layer.expert_of, e), layer.copies[static_cast<size_t>(e)]);
      EXPECT_GE(layer.copies[static_cast<size_t>(e)], 1);
    }
    for (int i = 0; i < replicas; ++i) {
      int& node =
          node_of[static_cast<size_t>(layer.expert_of[static_cast<size_t>(i)] / group_size)];
      EXPECT_TRUE(node == -1 || node == i / (replicas / nodes)) << "seed " << seed;
      node = i / (replicas / nodes);
    }
  }
}

TEST(EplbTest, RefusesCountsThatDoNotDivide) {
  const std::vector<double> loads = {1, 2, 3, 4};
  EXPECT_THROW(eplb(loads, {.replicas = 5, .devices = 2}), InvalidArgument);
  EXPECT_THROW(eplb(loads, {.replicas = 2, .devices = 2}), InvalidArgument);
  EXPECT_THROW(eplb(loads, {.replicas = 6, .groups = 3, .devices = 2}), InvalidArgument);
  EXPECT_THROW(eplb(loads, {.replicas = 6, .nodes = 2, .devices = 3}), InvalidArgument);
}

}  // namespace
}  // namespace hecate::sharding
