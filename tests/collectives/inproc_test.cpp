#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/collectives/contract.h"
#include "tests/collectives/large.h"
#include "tests/collectives/threads.h"

namespace hecate::collectives {
namespace {

using Parameter = std::tuple<const contract::Case*, int>;

class InprocContractTest : public testing::TestWithParam<Parameter> {};

CommunicatorOptions test_options(int ranks_per_node, bool checked) {
  CommunicatorOptions options;
  options.timeout = std::chrono::seconds(60);
  options.check_arguments = checked;
  // Several segments in small tests; inside a node they are 32 times as long.
  options.segment_bytes = ranks_per_node == 0 ? 512 : 16 << 10;
  options.ranks_per_node = ranks_per_node;
  return options;
}

TEST_P(InprocContractTest, HoldsOnOneNode) {
  const auto& [test, ranks] = GetParam();
  EXPECT_NO_THROW(run_ranks(ranks, test_options(0, true), test->run));
}

TEST_P(InprocContractTest, HoldsOnNodesOfTwoAndUnchecked) {
  const auto& [test, ranks] = GetParam();
  EXPECT_NO_THROW(run_ranks(ranks, test_options(2, false), test->run));
}

std::vector<Parameter> parameters() {
  std::vector<Parameter> all;
  for (const contract::Case& test : contract::cases())
    for (int ranks : {1, 2, 3, 4, 8}) all.emplace_back(&test, ranks);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Contract, InprocContractTest, testing::ValuesIn(parameters()),
                         [](const auto& instance) {
                           return concat(std::get<0>(instance.param)->name, "On",
                                         std::get<1>(instance.param), "Ranks");
                         });

TEST(InprocWorld, SixtyFourRanksOnEightNodes) {
  run_ranks(64, test_options(8, false), [](const Communicator& world) {
    const int64_t count = 5000;
    std::vector<int64_t> in(count, world.rank()), out(count);
    for (int round = 0; round < 3; ++round)
      world.all_reduce(in.data(), out.data(), count, DType::i64, ReduceOp::sum).wait();
    ASSERT_EQ(out, std::vector<int64_t>(count, 64 * 63 / 2));
  });
}

TEST(InprocWorld, MovesMoreThanTwoGibibytes) {
  const std::string reason = contract::reason_to_skip_large();
  if (!reason.empty()) GTEST_SKIP() << reason;
  CommunicatorOptions options;
  options.timeout = std::chrono::seconds(100);
  EXPECT_NO_THROW(run_ranks(2, options, contract::large_transfers_arrive));
}

TEST(InprocWorld, BulkGoesOnWhileAnUrgentOperationWaitsForALateRank) {
  run_ranks(2, test_options(1, false), [](const Communicator& world) {
    const Communicator urgent = world.on_lane(LaneKind::dispatch);
    const int64_t count = 200000;
    std::vector<int64_t> in(count, world.rank() + 1), out(count);
    const auto barrier = [&] { return urgent.barrier(); };
    const auto bulk = [&] {
      return world.all_reduce(in.data(), out.data(), count, DType::i64, ReduceOp::sum);
    };
    // Rank 1 comes to the barrier only after the bulk, which rank 0 holds back for it at first.
    if (world.rank() == 0) {
      const Work first = barrier();
      bulk().wait();
      first.wait();
    } else {
      bulk().wait();
      barrier().wait();
    }
    ASSERT_EQ(out, std::vector<int64_t>(count, 3));
  });
}

TEST(InprocWorld, RefusesImpossibleRankCounts) {
  EXPECT_THROW(inproc::create(0), InvalidArgument);
  EXPECT_THROW(inproc::create(65), InvalidArgument);
}

}  // namespace
}  // namespace hecate::collectives
