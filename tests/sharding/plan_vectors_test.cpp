#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sharding/materialization.h"
#include "sharding/ownership.h"

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

}  // namespace
}  // namespace hecate::sharding
