#include "collectives/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/collectives/threads.h"

namespace hecate::collectives {
namespace {

CommunicatorOptions nodes_of_four() {
  CommunicatorOptions options;
  options.timeout = std::chrono::seconds(20);
  options.ranks_per_node = 4;
  return options;
}

TEST(World, TwelveRanksOnThreeNodes) {
  run_ranks(12, nodes_of_four(), [](const Communicator& all) {
    WorldOptions options;
    options.domain = parse_domain("node");
    const World world(all, options);
    EXPECT_EQ(world.mesh().domains(), 3);
    EXPECT_EQ(world.domain(LaneKind::sparse).size(), 4);
    EXPECT_EQ(world.domain(LaneKind::sparse).lane(), LaneKind::sparse);
    const int32_t mine = world.rank();
    int32_t sum = 0;
    world.replica(LaneKind::dense).all_reduce(&mine, &sum, 1, DType::i32, ReduceOp::sum).wait();
    EXPECT_EQ(sum, 3 * (world.rank() % 4) + 12);
  });
}

TEST(World, RefusesWhatDoesNotMultiplyOutOnEveryRank) {
  run_ranks(8, nodes_of_four(), [](const Communicator& all) {
    WorldOptions options;
    options.domain = parse_domain("3");
    EXPECT_THROW(World(all, options), InvalidArgument);
    EXPECT_THROW(World({}, {}), InvalidArgument);
    options.domain = parse_domain("2");
    options.lanes = {LaneKind::dense};
    World world(all, options);
    EXPECT_THROW(world.domain(LaneKind::sparse), InvalidArgument);
    options.shape.dp = 5;
    EXPECT_THROW(world.reform(all, options), InvalidArgument);
    EXPECT_EQ(world.epoch(), 1);
    EXPECT_EQ(world.domain(LaneKind::dense).size(), 2);
  });
}

TEST(World, ReformsWithFewerRanksAndWithNewcomers) {
  run_ranks(4, nodes_of_four(), [](const Communicator& all) {
    World world(all);
    const bool leaves = all.rank() == 3;
    const Communicator fewer = all.split(leaves ? -1 : 0, all.rank(), LaneKind::dense);
    if (!leaves) {
      world.reform(fewer, {});
      EXPECT_EQ(world.epoch(), 2);
      EXPECT_EQ(world.size(), 3);
    }
    // Rank 3 comes back as one that knows nothing.
    if (leaves) {
      EXPECT_EQ(World(all).epoch(), 3);
    } else {
      world.reform(all, {});
      EXPECT_EQ(world.epoch(), 3);
      EXPECT_EQ(world.size(), 4);
    }
  });
}

}  // namespace
}  // namespace hecate::collectives
