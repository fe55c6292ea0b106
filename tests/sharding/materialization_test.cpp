#include "sharding/materialization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/base/error.h"
#include "sharding/load_order.h"
#include "tests/sharding/random_cases.h"

namespace hecate::sharding {
namespace {

using collectives::Placement;
using collectives::Topology;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<int> holders(const Placement& placement, int expert) {
  const auto held = placement.holders(expert);
  return {held.begin(), held.end()};
}

Placement random_owners(RandomCase& test) {
  std::vector<int> owners;
  for (int e = 0; e < test.experts; ++e) owners.push_back(test.below(test.devices()));
  return Placement::from_owners(owners, test.devices());
}

const std::vector<int> kTwoNodes = {0, 0, 1, 1};
Placement one_each() {
  return Placement::from_owners(std::vector<int>{0, 1, 2, 3}, 4);
}

TEST(MaterializeTest, SharesTheSlotsByLoadNodeByNode) {
  const Placement placement =
      materialize(one_each(), std::vector<double>{60, 30, 10, 0}, 3, 2, kTwoNodes);
  // 8 slots: 4.8 -> 5, at most 3; 2.4 -> 2; 0.8 -> 1.
  EXPECT_THAT(holders(placement, 0), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(holders(placement, 1), ElementsAre(0, 1, 2));  // node 1 first, then most free slots
  EXPECT_THAT(holders(placement, 2), ElementsAre(0, 2));
  EXPECT_THAT(holders(placement, 3), ElementsAre(3));
}

TEST(MaterializeTest, HalfACopyRoundsUp) {
  // 4 slots: 2.5 -> 3 and 1.5 -> 2, of which one is left.
  const Placement placement =
      materialize(one_each(), std::vector<double>{5, 3, 0, 0}, 2, 1, kTwoNodes);
  EXPECT_THAT(holders(placement, 0), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(holders(placement, 1), ElementsAre(0, 1));
}

TEST(MaterializeTest, EnoughMemoryPutsTheHotEverywhere) {
  const Placement placement =
      materialize(one_each(), std::vector<double>{1, 9, 9, 0}, 2, 7, kTwoNodes);
  EXPECT_EQ(placement.holders(1).size(), 4u);
  EXPECT_EQ(placement.holders(2).size(), 4u);
  EXPECT_EQ(placement.holders(0).size(), 1u);
}

TEST(MaterializeTest, EqualLoadsTakeTheLowerExpertFirst) {
  const Placement placement =
      materialize(one_each(), std::vector<double>{5, 5, 5, 5}, 1, 1, kTwoNodes);
  EXPECT_EQ(placement.holders(0).size(), 4u);
  for (int e = 1; e < 4; ++e) EXPECT_EQ(placement.holders(e).size(), 1u);
}

TEST(MaterializeTest, ZeroLoadsGiveOneCopyEach) {
  const Placement placement =
      materialize(one_each(), std::vector<double>{0, 0, 0, 0}, 3, 1, kTwoNodes);
  for (int e = 0; e < 3; ++e) EXPECT_EQ(placement.holders(e).size(), 2u);
  EXPECT_EQ(placement.holders(3).size(), 1u);
}

TEST(MaterializeTest, WithoutOverlapOrMemoryOnlyOwnersAreLeft) {
  const std::vector<double> loads = {4, 3, 2, 1};
  EXPECT_EQ(materialize(one_each(), loads, 0, 5, kTwoNodes), one_each());
  EXPECT_EQ(materialize(one_each(), loads, 5, 0, kTwoNodes), one_each());
}

TEST(MaterializeTest, OneDeviceOwnsEverythingAlready) {
  const Placement owners = Placement::from_owners(std::vector<int>{0, 0}, 1);
  EXPECT_EQ(materialize(owners, std::vector<double>{3, 4}, 2, 1, std::vector<int>{0}), owners);
}

TEST(MaterializeTest, OneExpertGoesWhereSlotsAre) {
  const Placement owners = Placement::from_owners(std::vector<int>{2}, 4);
  EXPECT_EQ(materialize(owners, std::vector<double>{3}, 4, 1, kTwoNodes).holders(0).size(), 4u);
}

// Every device without the expert has used its m slots.
bool full_but_for(const Placement& placement, const Placement& owners, int expert, int m) {
  for (int d = 0; d < placement.devices(); ++d)
    if (!placement.holds(expert, d) && placement.held_by(d) - owners.held_by(d) < m) return false;
  return true;
}

// Invariants of thousands of random plans.
TEST(MaterializeTest, KeepsOwnersAndMemoryAndGivesLoadsTheirShare) {
  for (uint64_t seed = 0; seed < 5000; ++seed) {
    RandomCase test("materialize", seed);
    const Placement owners = random_owners(test);
    const auto& loads = test.loads[0];
    const Placement placement = materialize(owners, loads, test.t, test.m, test.node_of);
    check_materialized(owners, placement);
    const int t = std::min(test.t, test.experts), m = std::min(test.m, t);
    for (int d = 0; d < test.devices(); ++d)
      EXPECT_LE(placement.held_by(d) - owners.held_by(d), m) << "seed " << seed;
    const std::vector<int> hot = most_loaded(loads, t);
    double sum = 0;
    for (int e : hot) sum += loads[static_cast<size_t>(e)];
    for (int e = 0; e < test.experts; ++e) {
      const bool copied = placement.holders(e).size() > 1;
      EXPECT_FALSE(copied && std::ranges::find(hot, e) == hot.end()) << "seed " << seed;
    }
    for (int e : hot) {
      const auto copies = std::ssize(placement.holders(e)) - 1;
      const double share = sum > 0 ? test.devices() * m * loads[static_cast<size_t>(e)] / sum : 0;
      int64_t most = std::max<int64_t>(1, std::llround(share));
      most = std::min<int64_t>(most, test.devices() - 1);
      EXPECT_LE(copies, t <= m ? test.devices() - 1 : most) << "seed " << seed;
      // Short of its share only where no other device has a free slot.
      EXPECT_TRUE(t <= m || copies == most || full_but_for(placement, owners, e, m))
          << "seed " << seed << ": expert " << e;
    }
  }
}

TEST(MaterializeTest, IsTheSameInAnyOrderOfCalls) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    RandomCase test("order", seed);
    const Placement owners = random_owners(test);
    std::vector<Placement> forward, backward;
    for (const auto& loads : test.loads)
      forward.push_back(materialize(owners, loads, test.t, test.m, test.node_of));
    for (auto it = test.loads.rbegin(); it != test.loads.rend(); ++it)
      backward.push_back(materialize(owners, *it, test.t, test.m, test.node_of));
    std::ranges::reverse(backward);
    EXPECT_EQ(forward, backward);
  }
}

TEST(MaterializeTest, RefusesWhatIsNoPlan) {
  const std::vector<double> loads = {1, 2, 3, 4};
  EXPECT_THAT([&] { materialize(one_each(), std::vector<double>{1}, 1, 1, kTwoNodes); },
              ThrowsMessage<InvalidArgument>(HasSubstr("1 loads for 4 experts")));
  EXPECT_THAT(
      [&] {
        materialize(one_each(), std::vector<double>{1, -2, 3, 4}, 1, 1, kTwoNodes);
      },
      ThrowsMessage<InvalidArgument>(HasSubstr("load -2 of expert 1")));
  EXPECT_THROW(materialize(one_each(), loads, -1, 1, kTwoNodes), InvalidArgument);
  EXPECT_THROW(materialize(one_each(), loads, 1, -1, kTwoNodes), InvalidArgument);
  EXPECT_THROW(materialize(one_each(), loads, 1, 1, std::vector<int>{0}), InvalidArgument);
  EXPECT_THROW(materialize(one_each(), loads, 1, 1, std::vector<int>{0, 0, 0, 9}), InvalidArgument);
  Placement two_owners = one_each();
  two_owners.add(0, 3);
  EXPECT_THROW(materialize(two_owners, loads, 1, 1, kTwoNodes), InvalidArgument);
}

// Everything goes to expert 3, which the forecast did not see.
class CalibrateTest : public testing::Test {
 protected:
  CalibrateTest() {
    for (size_t s = 0; s < 4; ++s) counts_[s * 4 + 3] = 1000;
    cost_.topology = Topology::uniform(4, 2, {8e9, 1e-6}, {1e8, 1e-5});
    cost_.seconds_per_row = 1e-5;
    cost_.row_bytes = 1e3;
    cost_.gather_bytes = 1e5;
    cost_.reduce_bytes = 2e5;
  }
  std::optional<Calibration> calibrate_with(std::vector<int> free_slots, int t = 4) {
    return calibrate({.owners = &owners_,
                      .materialized = &materialized_,
                      .counts = counts_,
                      .t = t,
                      .free_slots = free_slots},
                     cost_);
  }

  Placement owners_ = one_each(), materialized_ = one_each();
  std::vector<int64_t> counts_ = std::vector<int64_t>(16);
  LayerCost cost_;
};

TEST_F(CalibrateTest, CopiesTheExpertThatTurnedOutHot) {
  const auto found = calibrate_with({1, 1, 1, 1});
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->placement.holders(3).size(), 4u);
  // 4000 rows on one device, 2000 rows into its node, against 1000 rows everywhere and none.
  EXPECT_NEAR(found->saved_seconds, 3000e-5 + 4 * (2e6 / 1e8 + 1e-5), 1e-12);
  EXPECT_NEAR(found->gather_seconds, 1e5 / 1e8 + 1e-5, 1e-12);
}

TEST_F(CalibrateTest, LeavesThePlanWhereTheGatherCostsMoreThanItSaves) {
  cost_.gather_bytes = 1e9;
  EXPECT_FALSE(calibrate_with({1, 1, 1, 1}).has_value());
}

TEST_F(CalibrateTest, ChargesTheExposedPartOfTheReduction) {
  cost_.reduce_exposed = 0.5;
  EXPECT_NEAR(calibrate_with({1, 1, 1, 1})->gather_seconds,
              1e5 / 1e8 + 1e-5 + 0.5 * (2e5 / 1e8 + 1e-5), 1e-12);
}

TEST_F(CalibrateTest, StaysInTheSlotsThatAreLeft) {
  EXPECT_FALSE(calibrate_with({0, 0, 0, 0}).has_value());
  const auto found = calibrate_with({0, 1, 0, 0});
  ASSERT_TRUE(found.has_value());
  EXPECT_THAT(holders(found->placement, 3), ElementsAre(1, 3));
}

TEST_F(CalibrateTest, AddsNothingToAPlanThatWasRight) {
  materialized_.add_everywhere(3);
  EXPECT_FALSE(calibrate_with({1, 1, 1, 1}, 1).has_value());
}

TEST_F(CalibrateTest, RandomCorrectionsKeepThePlanAndPay) {
  int corrected = 0;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    RandomCase test("calibrate", seed);
    const Placement owners = random_owners(test);
    const Placement before = materialize(owners, test.loads[0], test.t, test.m, test.node_of);
    const std::vector<int64_t> counts = test.draw_counts();
    std::vector<int> free_slots;
    for (int d = 0; d < test.devices(); ++d) free_slots.push_back(test.below(3));
    cost_.topology.node_of = test.node_of;
    const auto found = calibrate({.owners = &owners,
                                  .materialized = &before,
                                  .counts = counts,
                                  .t = test.t,
                                  .free_slots = free_slots},
                                 cost_);
    if (!found) continue;
    ++corrected;
    EXPECT_NE(found->placement, before);
    EXPECT_GT(found->saved_seconds, found->gather_seconds);
    for (int e = 0; e < test.experts; ++e)
      for (int d : before.holders(e)) EXPECT_TRUE(found->placement.holds(e, d));
    for (int d = 0; d < test.devices(); ++d)
      EXPECT_LE(found->placement.held_by(d) - before.held_by(d), free_slots[static_cast<size_t>(d)])
          << "seed " << seed;
  }
  EXPECT_GT(corrected, 100);
}

}  // namespace
}  // namespace hecate::sharding
