#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sharding/materialization.h"
#include "sharding/ownership.h"
#include "sharding/policies/eplb.h"
#include "sharding/policies/fastermoe.h"
#include "sharding/policies/smartmoe.h"

/// The planners against the published exact cases, where those are at hand.
namespace hecate::sharding {
namespace {

using nlohmann::json;

class PlanVectorsTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path path =
        std::filesystem::path(HECATE_SOURCE_DIR) / "../shared/vectors/plans.json";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not at hand";
    std::ifstream(path) >> cases_;
  }
  json cases_;
};

TEST_F(PlanVectorsTest, Algorithm1MaterializesExactly) {
  ASSERT_FALSE(cases_["algorithm1"].empty());
  for (const json& test : cases_["algorithm1"]) {
    const auto node_of = test["node_of_device"].get<std::vector<int>>();
    const auto owners = collectives::Placement::from_owners(test["owner"].get<std::vector<int>>(),
                                                            static_cast<int>(node_of.size()));
    const auto placement =
        materialize(owners, test["load"].get<std::vector<double>>(), test["t"], test["m"], node_of);
    for (int e = 0; e < placement.experts(); ++e) {
      const auto holders = placement.holders(e);
      EXPECT_EQ(std::vector<int>(holders.begin(), holders.end()), test["holders"][e])
          << "expert " << e << " of " << test.dump();
    }
  }
}

TEST_F(PlanVectorsTest, Algorithm2PlacesTheRestExactly) {
  ASSERT_FALSE(cases_["algorithm2"].empty());
  for (const json& test : cases_["algorithm2"]) {
    const auto node_of = test["node_of_device"].get<std::vector<int>>();
    const auto loads = test["load"].get<std::vector<std::vector<double>>>();
    const Ownership owners = reshard(loads, test["t"], node_of);
    auto free = test["free_slots_after"].get<std::vector<int>>();
    for (int l = 0; l < owners.layers(); ++l)
      for (int e = 0; e < owners.experts(); ++e) {
        const int expected = test["owner_of_remaining"][l][e];
        if (expected >= 0)
          EXPECT_EQ(owners.owner(l, e), expected)
              << "layer " << l << ", expert " << e << " of " << test.dump();
        else
          --free[static_cast<size_t>(owners.owner(l, e))];
      }
    EXPECT_EQ(free, std::vector<int>(free.size(), 0)) << test.dump();
  }
}

TEST_F(PlanVectorsTest, FasterMoeShadowsExactly) {
  ASSERT_FALSE(cases_["fastermoe"].empty());
  for (const json& test : cases_["fastermoe"])
    EXPECT_EQ(
        shadowed_experts(test["load"].get<std::vector<double>>(), {.d_model = test["H"],
                                                                   .hidden_ratio = test["alpha"],
                                                                   .bytes = test["bytes"],
                                                                   .bandwidth = test["bandwidth"],
                                                                   .flops = test["flops"]}),
        test["shadowed"])
        << test.dump();
}

TEST_F(PlanVectorsTest, SmartMoeExchangesExactly) {
  ASSERT_FALSE(cases_["smartmoe"].empty());
  for (const json& test : cases_["smartmoe"]) {
    const SmartMoePlan plan =
        exchange_experts(test["owner"].get<std::vector<int>>(),
                         test["load"].get<std::vector<double>>(), test["devices"], test["slots"]);
    EXPECT_EQ(plan.owners, test["new_owner"]) << test.dump();
    EXPECT_EQ(plan.adopted, test["adopted"]) << test.dump();
  }
}

// Copies of equal load may be swapped.
TEST_F(PlanVectorsTest, EplbPutsTheSameLoadIntoEverySlot) {
  ASSERT_FALSE(cases_["eplb"].empty());
  for (const json& test : cases_["eplb"])
    for (size_t l = 0; l < test["load"].size(); ++l) {
      const auto loads = test["load"][l].get<std::vector<double>>();
      const EplbLayer layer = eplb(loads, {.replicas = test["replicas"],
                                           .groups = test["groups"],
                                           .nodes = test["nodes"],
                                           .devices = test["devices"]});
      EXPECT_EQ(layer.copies, test["replica_count"][l]) << "layer " << l << " of " << test.dump();
      const auto expected = test["physical_to_logical"][l].get<std::vector<int>>();
      ASSERT_EQ(layer.expert_of.size(), expected.size());
      const auto load = [&](int e) {
        return loads[static_cast<size_t>(e)] / layer.copies[static_cast<size_t>(e)];
      };
      for (size_t i = 0; i < expected.size(); ++i)
        EXPECT_EQ(load(layer.expert_of[i]), load(expected[i]))
            << "slot " << i << ", layer " << l << " of " << test.dump();
    }
}

}  // namespace
}  // namespace hecate::sharding
