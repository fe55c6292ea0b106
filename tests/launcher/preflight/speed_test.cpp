#include "launcher/preflight/speed.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/collectives/threads.h"

namespace hecate::launcher {
namespace {

std::vector<int> partners(const std::vector<int>& nodes, int round) {
  std::vector<int> all;
  for (int rank = 0; rank < static_cast<int>(nodes.size()); ++rank)
    all.push_back(exchange_partner(nodes, rank, round));
  return all;
}

TEST(ExchangePartnerTest, LiesOnAnotherNodeAndChangesWithTheRound) {
  const std::vector<int> nodes = {0, 0, 1, 1, 2, 2, 3, 3};
  EXPECT_EQ(exchange_rounds(nodes), 2);
  EXPECT_EQ(partners(nodes, 0), (std::vector<int>{2, 3, 4, 5, 6, 7, 0, 1}));
  EXPECT_EQ(partners(nodes, 1), (std::vector<int>{4, 5, 6, 7, 0, 1, 2, 3}));
}

TEST(ExchangePartnerTest, OnOneNodeItIsAnotherRank) {
  EXPECT_EQ(exchange_rounds(std::vector<int>{0}), 0);
  EXPECT_EQ(exchange_rounds(std::vector<int>{0, 0}), 1);
  EXPECT_EQ(partners({0, 0, 0}, 0), (std::vector<int>{1, 2, 0}));
  EXPECT_EQ(partners({0, 0, 0}, 1), (std::vector<int>{2, 0, 1}));
}

TEST(ExchangePartnerTest, UnequalNodesShareTheirPartners) {
  const std::vector<int> nodes = {0, 0, 0, 1};
  EXPECT_EQ(exchange_rounds(nodes), 1);
  EXPECT_EQ(partners(nodes, 0), (std::vector<int>{3, 3, 3, 0}));
}

class MeasuredRanks : public ::testing::TestWithParam<std::pair<int, int>> {};

TEST_P(MeasuredRanks, AllRanksKnowTheSameFigures) {
  const auto [ranks, per_node] = GetParam();
  std::vector<std::vector<RankSpeed>> seen(static_cast<size_t>(ranks));
  collectives::CommunicatorOptions options;
  options.ranks_per_node = per_node;
  collectives::run_ranks(ranks, options, [&](const collectives::Communicator& comm) {
    seen[static_cast<size_t>(comm.rank())] = measure_speed(comm, {.seconds = 0.01});
  });
  std::set<std::string> summaries;
  for (const auto& speeds : seen) {
    ASSERT_EQ(speeds.size(), seen.size());
    for (const RankSpeed& speed : speeds) {
      EXPECT_GT(speed.flops_per_s, 1e7);
      EXPECT_EQ(speed.bytes_per_s > 1e6, ranks > 1);
      EXPECT_FALSE(speed.host.empty());
    }
    summaries.insert(speed_summary(speeds));
  }
  EXPECT_EQ(summaries.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Shapes, MeasuredRanks,
                         ::testing::Values(std::pair(1, 1), std::pair(2, 2), std::pair(4, 2),
                                           std::pair(5, 2)),
                         [](const auto& each) {
                           return std::to_string(each.param.first) + "_on_nodes_of_" +
                                  std::to_string(each.param.second);
                         });

TEST(MeasuredPace, APacedDeviceHasItsPace) {
  collectives::run_ranks(2, {}, [](const collectives::Communicator& comm) {
    for (const RankSpeed& speed : measure_speed(comm, {.pace_flops_per_s = 3e9}))
      EXPECT_EQ(speed.flops_per_s, 3e9);
  });
}

const std::vector<RankSpeed> kRanks = {
    {50e9, 1e9, "n0"}, {48e9, 1.1e9, "n0"}, {20e9, 1.2e9, "n1"}, {52e9, 0.25e9, "n1"}};

TEST(SpeedSummaryTest, NamesTheSlowest) {
  EXPECT_EQ(speed_summary(kRanks),
            "matrix products: median 50, slowest rank 2 on n1 20 GFLOP/s; "
            "link: median 1.1, slowest rank 3 on n1 0.25 GB/s");
  EXPECT_EQ(speed_summary(std::vector<RankSpeed>{{50e9, 0, "n0"}}),
            "matrix products: median 50, slowest rank 0 on n0 50 GFLOP/s");
}

TEST(SlowRanksTest, NamesThoseFarBelowTheMedian) {
  EXPECT_EQ(slow_ranks(kRanks),
            "matrix products: rank 2 on n1 20 of 50 GFLOP/s; link: rank 3 on n1 0.25 of 1.1 GB/s");
  EXPECT_EQ(slow_ranks(kRanks, 0.1), "");
}

}  // namespace
}  // namespace hecate::launcher
