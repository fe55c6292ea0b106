#include <gtest/gtest.h>

#include <algorithm>

#include "launcher/checkpoint/directory.h"
#include "launcher/train/training_state.h"
#include "tests/launcher/train/rank_comparison.h"
#include "tests/launcher/train/saved_ranks.h"

/// Several ranks compute the same bits twice, and the same bits after they stopped anywhere.
namespace hecate::launcher {
namespace {

constexpr int64_t kSteps = 9;
const std::vector<int64_t> kStops = {1, 3, 5, 8};  // before, at and after changes of owners

/// Routing is learned: owners and copies follow from what the steps before routed.
class RankResumeTest : public testing::TestWithParam<RankCase> {
 protected:
  RankResumeTest() { std::filesystem::create_directories(checkpoints()); }

  std::filesystem::path checkpoints() const { return run_.root() / "checkpoints"; }

  RankResult run(RankRunOptions options) const {
    options.ranks = GetParam().ranks;
    options.ranks_per_node = GetParam().ranks_per_node;
    return run_ranks(case_config(run_, GetParam(), options.ranks), options);
  }

  RankResult run_from(int64_t stop) const {
    return run({.first_step = stop, .steps = kSteps - stop, .prepare = [&](Engine& engine) {
                  restore(engine,
                          checkpoint::Checkpoint(checkpoints() / checkpoint::step_name(stop)));
                }});
  }

  TinyRun run_;
};

TEST_P(RankResumeTest, IsBitIdenticalTwiceAndFromEveryStop) {
  std::vector<int> owners_before, owners_after;
  const auto keep_owners = [](std::vector<int>& owners) {
    return [&](Engine& engine) {
      if (engine.options().rank() == 0)
        owners.assign(engine.sharded()->owners().all().begin(),
                      engine.sharded()->owners().all().end());
    };
  };
  const RankResult whole = run({.steps = kSteps,
                                .prepare = keep_owners(owners_before),
                                .finish = keep_owners(owners_after)});
  const std::string& strategy = GetParam().settings.front();
  const bool moves = strategy.find("fssdp") != std::string::npos ||
                     strategy.ends_with("smartmoe") || strategy.ends_with("eplb") ||
                     strategy.ends_with("flexmoe");
  EXPECT_EQ(owners_before != owners_after, moves);

  const RankResult again = run({.steps = kSteps, .after_step = [&](Engine& engine, int64_t step) {
                                  if (std::ranges::count(kStops, step) > 0)
                                    save_ranks(engine, checkpoints(), step);
                                }});
  EXPECT_EQ(again.losses, whole.losses);
  EXPECT_EQ(again.gradient_norms, whole.gradient_norms);
  EXPECT_EQ(again.parameters, whole.parameters);

  for (const int64_t stop : kStops) {
    const RankResult rest = run_from(stop);
    EXPECT_EQ(rest.losses, std::vector(whole.losses.begin() + stop, whole.losses.end())) << stop;
    EXPECT_EQ(rest.parameters, whole.parameters) << stop;
  }
}

std::vector<RankCase> cases() {
  std::vector<RankCase> tests;
  for (const char* strategy : {"fssdp", "fssdp-rm", "ep", "fsdp"})
    for (const int ranks : {2, 3, 4})
      for (const char* dense : {"zero1", "zero3"}) {
        const bool first = dense == std::string("zero1");
        std::string name = concat(strategy, "_", ranks, "_", dense);
        std::ranges::replace(name, '-', '_');
        tests.push_back(
            {.name = name,
             .ranks = ranks,
             .ranks_per_node = ranks == 4 ? 2 : 0,
             .micro_batches = 2,
             .settings = {concat("strategy=", strategy), concat("fssdp.dense=", dense),
                          "fssdp.reshard_every=3", "router.source=learned", "model.layers=3",
                          "model.dropout=0.1", "router.jitter=0.05",
                          first ? "model.gate=softmax_renormalized" : "model.gate=sigmoid_bias"}});
      }
  return tests;
}

RankCase adaptive() {
  return {.name = "hypergradient",
          .ranks = 2,
          .micro_batches = 2,
          .settings = {"strategy=fssdp", "fssdp.reshard_every=3", "router.source=learned",
                       "model.layers=3", "optimizer.hypergradient.enabled=true",
                       "optimizer.hypergradient.strength=0.3"}};
}

INSTANTIATE_TEST_SUITE_P(Rates, RankResumeTest, testing::Values(adaptive()),
                         [](const auto& test) { return test.param.name; });

// Those of other systems, which differ in where the experts' state lives.
std::vector<RankCase> other_systems() {
  std::vector<RankCase> tests;
  for (const char* strategy : {"smartmoe", "fastermoe", "flexmoe", "eplb", "laer"})
    tests.push_back({.name = strategy,
                     .ranks = 4,
                     .ranks_per_node = 2,
                     .micro_batches = 2,
                     .settings = {concat("strategy=", strategy), "rearrange.every=3",
                                  "fssdp.expert_gflops=1e-3", "router.source=learned",
                                  "model.layers=3", "model.dropout=0.1"}});
  return tests;
}

INSTANTIATE_TEST_SUITE_P(OfOtherSystems, RankResumeTest, testing::ValuesIn(other_systems()),
                         [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(Strategies, RankResumeTest, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hecate::launcher
