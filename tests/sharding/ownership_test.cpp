#include "sharding/ownership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/base/error.h"
#include "sharding/load_order.h"
#include "tests/sharding/random_cases.h"

namespace hecate::sharding {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<int> layer_of(const Ownership& owners, int l) {
  return {owners.layer(l).begin(), owners.layer(l).end()};
}

TEST(OwnershipTest, RefusesDevicesThatDoNotExistAndUnevenTotals) {
  EXPECT_NO_THROW(Ownership(1, 3, 2, {0, 1, 0}));
  EXPECT_THAT(
      [] {
        Ownership(1, 3, 2, {0, 2, 0});
      },
      ThrowsMessage<InvalidArgument>(HasSubstr("expert 1 is owned by device 2 of 2")));
  EXPECT_THAT(
      [] {
        Ownership(2, 2, 2, {0, 0, 0, 1});
      },
      ThrowsMessage<InvalidArgument>(HasSubstr("device 0 owns 3 experts")));
  EXPECT_THROW(Ownership(1, 3, 2, {0, 1}), InvalidArgument);
  EXPECT_THROW(Ownership(0, 3, 2, {}), InvalidArgument);
}

TEST(EvenOwnershipTest, KeepsNeighboursTogether) {
  const Ownership owners = even_ownership(2, 8, std::vector<int>{0, 0, 1, 1});
  for (int l = 0; l < 2; ++l) EXPECT_THAT(layer_of(owners, l), ElementsAre(0, 0, 1, 1, 2, 2, 3, 3));
  EXPECT_THAT(owners.owned(1, 2), ElementsAre(4, 5));
}

TEST(EvenOwnershipTest, RotatesTheRemainderOverLayersAndNodes) {
  const Ownership owners = even_ownership(3, 6, std::vector<int>{0, 0, 1, 1});
  EXPECT_THAT(layer_of(owners, 0), ElementsAre(0, 0, 1, 2, 2, 3));
  EXPECT_THAT(layer_of(owners, 1), ElementsAre(0, 1, 1, 2, 3, 3));
  EXPECT_THAT(layer_of(owners, 2), ElementsAre(0, 0, 1, 2, 2, 3));
}

TEST(EvenOwnershipTest, OneExpertMovesThroughTheDevices) {
  const Ownership owners = even_ownership(4, 1, std::vector<int>{0, 0, 1, 1});
  EXPECT_THAT(std::vector<int>(owners.all().begin(), owners.all().end()), ElementsAre(0, 2, 1, 3));
}

TEST(EvenOwnershipTest, IsEvenInEveryLayerAndOverAll) {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    const RandomCase test("even", seed);
    // The constructor checks totals over all layers.
    const Ownership owners = even_ownership(test.layers, test.experts, test.node_of);
    const int each = test.experts / test.devices();
    for (int l = 0; l < test.layers; ++l) {
      EXPECT_TRUE(std::ranges::is_sorted(owners.layer(l)));
      for (int d = 0; d < test.devices(); ++d) {
        const auto count = std::ranges::count(owners.layer(l), d);
        EXPECT_TRUE(count == each || count == each + 1) << "seed " << seed;
      }
    }
  }
}

TEST(ReshardTest, GivesTheLeastLoadedDeviceTheNextExpert) {
  const std::vector<std::vector<double>> loads = {{8, 4, 2, 1}};
  EXPECT_THAT(layer_of(reshard(loads, 0, std::vector<int>{0, 0}), 0), ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(layer_of(reshard(loads, 1, std::vector<int>{0, 0}), 0), ElementsAre(0, 0, 1, 1));
}

TEST(ReshardTest, HeaviestLayerComesFirstAndLoadsStartFromZeroInEach) {
  // 3 slots each. Layer 1: expert 0 to device 0 (9), expert 1 and 2 to device 1 (2).
  // Layer 0: expert 0 to device 1, which has fewer free slots, the rest to device 0.
  const std::vector<std::vector<double>> loads = {{3, 2, 0}, {9, 1, 1}};
  const Ownership owners = reshard(loads, 0, std::vector<int>{0, 0});
  EXPECT_THAT(layer_of(owners, 1), ElementsAre(0, 1, 1));
  EXPECT_THAT(layer_of(owners, 0), ElementsAre(1, 0, 0));
}

TEST(ReshardTest, NodesComeBeforeDevices) {
  // Node 0 has one device, node 1 has two: expert 2 goes to the lighter node, then device.
  const std::vector<std::vector<double>> loads = {{5, 4, 3, 0, 0, 0}};
  const Ownership owners = reshard(loads, 0, std::vector<int>{0, 1, 1});
  EXPECT_EQ(owners.owner(0, 0), 0);
  EXPECT_EQ(owners.owner(0, 1), 1);
  EXPECT_EQ(owners.owner(0, 2), 2);
}

// Every layer's hot experts lie on devices and nodes as evenly as the slots left allow.
TEST(ReshardTest, NoNodeSendsMoreHotExpertsThanItMust) {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    const RandomCase test("reshard", seed);
    const Ownership owners = reshard(test.loads, test.t, test.node_of);
    std::vector<std::vector<int>> hot_of(static_cast<size_t>(test.devices()));
    for (auto& counts : hot_of) counts.resize(static_cast<size_t>(test.layers));
    auto node_hot = hot_of;
    for (int l = 0; l < test.layers; ++l)
      for (int e : most_loaded(test.loads[static_cast<size_t>(l)], test.t)) {
        const auto d = static_cast<size_t>(owners.owner(l, e));
        ++hot_of[d][static_cast<size_t>(l)];
        ++node_hot[static_cast<size_t>(test.node_of[d])][static_cast<size_t>(l)];
      }
    for (const auto* all : {&hot_of, &node_hot})
      for (const auto& counts : *all) {
        const auto [least, most] = std::ranges::minmax(counts);
        EXPECT_LE(most - least, 1) << "seed " << seed;
      }
  }
}

TEST(ReshardTest, HotExpertsStayWhereTheyMay) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const RandomCase test("stay", seed);
    const Ownership owners = reshard(test.loads, test.t, test.node_of);
    EXPECT_EQ(reshard(test.loads, test.t, test.node_of, &owners), owners) << "seed " << seed;
  }
}

TEST(ReshardTest, PresentOwnersSaveMoves) {
  const std::vector<int> node_of = {0, 0, 1, 1};
  const std::vector<std::vector<double>> even(4, std::vector<double>(8, 1.0));
  const Ownership start = even_ownership(4, 8, node_of);
  const auto without = moves(start, reshard(even, 8, node_of));
  const auto with = moves(start, reshard(even, 8, node_of, &start));
  EXPECT_LE(with.size(), without.size());
  EXPECT_EQ(with.size(), 0u);
}

TEST(ReshardTest, RefusesOtherShapes) {
  const std::vector<int> node_of = {0, 0};
  EXPECT_THROW(reshard({}, 1, node_of), InvalidArgument);
  const std::vector<std::vector<double>> ragged = {{1, 2}, {1}};
  EXPECT_THROW(reshard(ragged, 1, node_of), InvalidArgument);
  const std::vector<std::vector<double>> loads = {{1, 2}};
  EXPECT_THROW(reshard(loads, -1, node_of), InvalidArgument);
  const Ownership other(1, 3, 2, {0, 1, 1});
  EXPECT_THROW(reshard(loads, 1, node_of, &other), InvalidArgument);
}

TEST(MovesTest, NameEveryExpertThatChangesItsOwner) {
  const Ownership before(2, 2, 2, {0, 1, 0, 1}), after(2, 2, 2, {0, 1, 1, 0});
  EXPECT_THAT(moves(before, after), ElementsAre(OwnerMove{1, 0, 0, 1}, OwnerMove{1, 1, 1, 0}));
  EXPECT_TRUE(moves(before, before).empty());
  EXPECT_THROW(moves(before, Ownership(1, 2, 2, {0, 1})), InvalidArgument);
}

}  // namespace
}  // namespace hecate::sharding
