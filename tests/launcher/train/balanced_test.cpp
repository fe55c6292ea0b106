#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "launcher/checkpoint/directory.h"
#include "launcher/train/training_state.h"
#include "runtime/base/error.h"
#include "tests/launcher/train/rank_comparison.h"
#include "tests/launcher/train/saved_ranks.h"

/// planner = balanced in the runtime.
namespace hecate::launcher {
namespace {

RankCase balanced(const std::string& name, int ranks, int64_t micro_batches,
                  std::vector<std::string> settings, bool jumps = false) {
  RankCase test{
      .name = name,
      .ranks = ranks,
      .ranks_per_node = ranks % 2 == 0 ? 2 : 0,
      .micro_batches = micro_batches,
      .settings = {"planner=balanced", "model.layers=3", "fssdp.overlap_degree=2",
                   "fssdp.memory_capacity=3", "fssdp.reshard_every=2", "fssdp.expert_gflops=1e-3"},
      .jumps = jumps};
  test.settings.insert(test.settings.end(), settings.begin(), settings.end());
  return test;
}

class BalancedTrainingTest : public testing::TestWithParam<RankCase> {
 protected:
  TinyRun run_;
};

TEST_P(BalancedTrainingTest, IsThatOfOneProcess) {
  const RankResult result = expect_same_training(run_, GetParam());
  int64_t replicas = 0;
  for (const LayerReport& layer : result.last.front().sharded.layers) {
    replicas += layer.replicas;
    EXPECT_GT(layer.bound_seconds, 0);
    EXPECT_GE(layer.modelled_seconds, layer.bound_seconds * (1 - 1e-9));
  }
  EXPECT_GT(replicas, 0);
  if (GetParam().jumps) {
    EXPECT_GT(result.calibration.copies, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Pairs, BalancedTrainingTest,
    testing::Values(
        balanced("time", 4, 1, {"strategy=fssdp"}),
        balanced("balance", 4, 2, {"strategy=fssdp-rm", "fssdp.objective=balance"}),
        balanced("odd_ranks", 3, 2, {"strategy=fssdp", "fssdp.objective=balance"}),
        balanced("drops", 4, 3,
                 {"strategy=fssdp-rm", "router.capacity_factor=0.7", "model.recompute=all"}),
        balanced("domains_zero3", 4, 2,
                 {"strategy=fssdp", "fssdp.domain=node", "fssdp.dense=zero3"}),
        balanced("corrected", 4, 2, {"strategy=fssdp", "fssdp.calibrate=true"}, true),
        balanced("corrected_rm", 4, 3,
                 {"strategy=fssdp-rm", "fssdp.calibrate=true", "fssdp.objective=balance"}, true)),
    [](const auto& test) { return test.param.name; });

constexpr int64_t kSteps = 7;

TEST(BalancedResumeTest, IsBitIdenticalTwiceAndFromAStop) {
  const TinyRun run;
  const RankCase test = balanced(
      "resume", 4, 2,
      {"strategy=fssdp", "fssdp.reshard_every=3", "router.source=learned", "fssdp.calibrate=true"});
  const std::filesystem::path checkpoints = run.root() / "checkpoints";
  std::filesystem::create_directories(checkpoints);
  const RunConfig config = case_config(run, test, test.ranks);
  const auto options = [&](RankRunOptions more) {
    more.ranks = test.ranks;
    more.ranks_per_node = test.ranks_per_node;
    return more;
  };
  const RankResult whole = run_ranks(config, options({.steps = kSteps}));
  const RankResult again =
      run_ranks(config, options({.steps = kSteps, .after_step = [&](Engine& engine, int64_t step) {
                                   if (step == 2 || step == 4)
                                     save_ranks(engine, checkpoints, step);
                                 }}));
  EXPECT_EQ(again.losses, whole.losses);
  EXPECT_EQ(again.parameters, whole.parameters);
  for (const int64_t stop : {2, 4}) {
    const RankResult rest = run_ranks(
        config,
        options({.first_step = stop, .steps = kSteps - stop, .prepare = [&](Engine& engine) {
                   restore(engine,
                           checkpoint::Checkpoint(checkpoints / checkpoint::step_name(stop)));
                 }}));
    EXPECT_EQ(rest.losses, std::vector(whole.losses.begin() + stop, whole.losses.end())) << stop;
    EXPECT_EQ(rest.parameters, whole.parameters) << stop;
  }
}

// The same copies' room; the paper's planner with the same split of tokens. Loads are skewed and
// steady, so that the forecast is right after a step.
TEST(BalancedRowsTest, NoRankIsBusierThanThePapersAlgorithmLeavesItOnceLoadsAreKnown) {
  const TinyRun run;
  RankCase test = balanced("rows", 4, 1, {"strategy=fssdp", "fssdp.objective=balance"});
  const auto rows_after_the_first_step = [&] {
    return run_case(run, test, 5).busiest_rank_rows - run_case(run, test, 1).busiest_rank_rows;
  };
  const int64_t ours = rows_after_the_first_step();
  test.settings.front() = "planner=paper";
  EXPECT_LE(ours, rows_after_the_first_step());
}

TEST(BalancedArgumentsTest, AnUnknownExpertRateAndOtherStrategiesAreRefused) {
  const TinyRun run;
  RankCase test = balanced("refused", 2, 1, {"strategy=fssdp", "fssdp.expert_gflops=0"});
  EXPECT_THAT([&] { run_case(run, test, 1); }, testing::ThrowsMessage<InvalidArgument>(
                                                   testing::HasSubstr("give fssdp.expert_gflops")));
  EXPECT_THAT(
      [&] {
        run.config({"planner=balanced", "strategy=ep"});
      },
      testing::ThrowsMessage<InvalidArgument>(testing::HasSubstr("expected fssdp")));
}

}  // namespace
}  // namespace hecate::launcher
