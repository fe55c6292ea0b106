#include "sharding/cost.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"

namespace hecate::sharding {
namespace {

using collectives::Placement;
using collectives::Topology;

// Two nodes of two; 1 GB/s and 1 us inside, 100 MB/s and 10 us between.
const Topology kTopology = Topology::uniform(4, 2, {1e9, 1e-6}, {1e8, 1e-5});

TEST(ExchangeSecondsTest, CountsTheBusiestDirectionOfTheBusiestLink) {
  std::vector<int64_t> rows(16);
  EXPECT_EQ(exchange_seconds(kTopology, rows, 10), 0);
  rows[0] = 1000000;  // stays on its device
  EXPECT_EQ(exchange_seconds(kTopology, rows, 10), 0);
  rows[1] = 1000;  // inside node 0
  EXPECT_DOUBLE_EQ(exchange_seconds(kTopology, rows, 10), 1e-6 + 1e4 / 1e9);
  rows[2] = 300;  // both from node 0 to node 1
  rows[7] = 200;
  rows[8] = 400;  // and back, beside them
  EXPECT_DOUBLE_EQ(exchange_seconds(kTopology, rows, 10), 1e-5 + 500 * 10 / 1e8);
  EXPECT_THROW(exchange_seconds(kTopology, std::vector<int64_t>(9), 10), InvalidArgument);
}

TEST(LayerSecondsTest, AddsTheSlowestDeviceToTheExchanges) {
  const LayerCost cost{.topology = kTopology, .seconds_per_row = 1e-3, .row_bytes = 10};
  const Placement owners = Placement::from_owners(std::vector<int>{0, 2}, 4);
  const std::vector<int64_t> counts = {5, 100, 0, 0, 0, 7, 0, 0};
  const DispatchPlan plan = plan_dispatch(counts, owners, kTopology.node_of);
  EXPECT_DOUBLE_EQ(layer_seconds(cost, plan), 107e-3 + 4 * (1e-5 + 100 * 10 / 1e8));
}

TEST(GatherSecondsTest, EntersANodeOnceAndSharesTheSending) {
  const LayerCost cost{.topology = kTopology};
  const Placement owners = Placement::from_owners(std::vector<int>{0, 0}, 4);
  Placement to = owners;
  EXPECT_EQ(gather_seconds(cost, owners, to, 1e6), 0);
  to.add(0, 1);
  EXPECT_DOUBLE_EQ(gather_seconds(cost, owners, to, 1e6), 1e-6 + 1e6 / 1e9);
  to.add_everywhere(0);
  to.add_everywhere(1);
  EXPECT_DOUBLE_EQ(gather_seconds(cost, owners, to, 1e6), 1e-5 + 2e6 / 1e8);
}

TEST(MoveSecondsTest, CarriesTheStateOfEveryMove) {
  const LayerCost cost{.topology = kTopology, .state_bytes = 1e6};
  EXPECT_EQ(move_seconds(cost, {}), 0);
  const std::vector<OwnerMove> inside = {{0, 0, 0, 1}, {3, 1, 0, 1}};
  EXPECT_DOUBLE_EQ(move_seconds(cost, inside), 1e-6 + 2e6 / 1e9);
  const std::vector<OwnerMove> across = {{0, 0, 0, 2}, {0, 1, 1, 3}, {1, 0, 2, 0}};
  EXPECT_DOUBLE_EQ(move_seconds(cost, across), 1e-5 + 2e6 / 1e8);
}

}  // namespace
}  // namespace hecate::sharding
