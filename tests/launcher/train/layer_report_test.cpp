#include "launcher/train/layer_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/launcher/train/rank_run.h"
#include "tests/launcher/train/tiny_run.h"

/// What a step says about its layers and ranks is what its loads, owners and placements say.
namespace hecate::launcher {
namespace {

TEST(ForecastErrorTest, IsTheShareOfTokensAtOtherExperts) {
  const std::vector<double> forecast = {1, 1, 2, 0};
  EXPECT_EQ(forecast_error(forecast, std::vector<int64_t>{10, 10, 20, 0}), 0);
  EXPECT_EQ(forecast_error(forecast, std::vector<int64_t>{0, 0, 0, 7}), 1);
  EXPECT_DOUBLE_EQ(forecast_error(forecast, std::vector<int64_t>{2, 2, 0, 0, 0, 0, 2, 2}), 0.25);
  EXPECT_EQ(forecast_error(forecast, std::vector<int64_t>{0, 0, 0, 0}), 0);
}

class LayerReportTest : public testing::Test {
 protected:
  // One MoE layer on four ranks in two nodes, owners that stay.
  void run(const std::string& source, const std::vector<std::string>& more = {}) {
    std::vector<std::string> settings = {"strategy=fssdp",         "router.source=" + source,
                                         "model.layers=1",         "model.experts=6",
                                         "fssdp.overlap_degree=2", "fssdp.memory_capacity=2",
                                         "fssdp.reshard_every=0",  "fssdp.expert_gflops=1",
                                         "train.global_batch=8",   "train.micro_batch=2"};
    settings.insert(settings.end(), more.begin(), more.end());
    const auto keep = [this](Engine& engine) {
      if (engine.options().rank() != 0) return;
      const ShardedModel& sharded = *engine.sharded();
      loads_ = sharded.loads().counts;
      owners_.assign(sharded.owners().all().begin(), sharded.owners().all().end());
      for (int expert = 0; expert < sharded.placement(0).experts(); ++expert)
        held_ += std::ssize(sharded.placement(0).holders(expert));
    };
    result_ = run_ranks(tiny_.config(settings),
                        {.ranks = 4, .ranks_per_node = 2, .steps = 3, .finish = keep});
  }

  const LayerReport& layer() const { return result_.last.front().sharded.layers.at(0); }

  TinyRun tiny_;
  RankResult result_;
  std::vector<int64_t> loads_;  // [ranks, experts]
  std::vector<int> owners_;
  int64_t held_ = 0;
};

TEST_F(LayerReportTest, RowsAndCopiesAreThoseOfTheStep) {
  run("zipf:1.5");
  std::vector<int64_t> at_owner(4, 0);
  for (size_t i = 0; i < loads_.size(); ++i)
    at_owner[static_cast<size_t>(owners_[i % owners_.size()])] += loads_[i];
  EXPECT_EQ(layer().busiest_owner_rows, std::ranges::max(at_owner));
  std::vector<int64_t> computed;
  for (const StepResult& rank : result_.last)
    computed.push_back(rank.sharded.exchange.rows_computed);
  EXPECT_EQ(layer().busiest_rank_rows, std::ranges::max(computed));
  EXPECT_EQ(layer().rows, std::accumulate(computed.begin(), computed.end(), int64_t{0}));
  EXPECT_EQ(layer().replicas, held_ - 6);
  EXPECT_GT(layer().replicas, 0);
  EXPECT_LT(layer().imbalance(4), layer().imbalance_at_owners(4));
  EXPECT_GE(layer().imbalance(4), 1);
  EXPECT_GT(layer().modelled_seconds, layer().bound_seconds);
  EXPECT_GT(layer().bound_seconds, 0);
  for (const StepResult& rank : result_.last)
    EXPECT_EQ(rank.sharded.layers.at(0).busiest_rank_rows, layer().busiest_rank_rows);
}

TEST_F(LayerReportTest, MicroBatchesAddUp) {
  run("zipf:1.5", {"train.micro_batch=1"});
  std::vector<int64_t> computed;
  for (const StepResult& rank : result_.last)
    computed.push_back(rank.sharded.exchange.rows_computed);
  EXPECT_EQ(layer().rows, std::accumulate(computed.begin(), computed.end(), int64_t{0}));
  EXPECT_EQ(layer().rows, std::accumulate(loads_.begin(), loads_.end(), int64_t{0}));
}

TEST_F(LayerReportTest, EvenRoutingIsForecastAndBalanced) {
  run("even");
  EXPECT_LT(layer().forecast_error, 0.01);
  run("zipf:1.5");
  EXPECT_LT(layer().forecast_error, 0.5);
}

TEST_F(LayerReportTest, EveryRankKnowsWhatEachOneDid) {
  run("even");
  for (const StepResult& rank : result_.last) {
    ASSERT_EQ(rank.ranks.size(), 4u);
    for (size_t other = 0; other < 4; ++other) {
      const RankVitals& vitals = rank.ranks[other];
      EXPECT_EQ(vitals.compute_ns, std::llround(1e9 * result_.last[other].compute_seconds));
      MemoryBytes held = vitals.peak_bytes;  // communication's scratch is in no ledger
      held[static_cast<size_t>(MemoryCategory::communicator)] =
          result_.peak[other][static_cast<size_t>(MemoryCategory::communicator)];
      EXPECT_EQ(held, result_.peak[other]);
      EXPECT_GE(vitals.waited_ns, 0);
      EXPECT_GT(vitals.data_ns, 0);
    }
    EXPECT_EQ(slowest_rank(rank.ranks), slowest_rank(result_.last.front().ranks));
  }
  std::vector<RankVitals> ranks(3);
  ranks[1].compute_ns = 5;
  ranks[2].data_ns = 7;
  EXPECT_EQ(slowest_rank(ranks), 2);
}

}  // namespace
}  // namespace hecate::launcher
