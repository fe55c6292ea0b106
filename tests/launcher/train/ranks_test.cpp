#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>

#include "tests/launcher/train/pairwise.h"
#include "tests/launcher/train/rank_comparison.h"

/// Any strategy on any number of ranks trains as one process does.
namespace hecate::launcher {
namespace {

constexpr bool kDouble = sizeof(Real) == 8;
constexpr double kGradientTolerance = kDouble ? 1e-10 : 1e-5;
constexpr double kLossTolerance = kDouble ? 1e-10 : 1e-4;
constexpr int64_t kLongRun = 30;
constexpr double kRate = 1e-3;

void expect_losses(const RankResult& many, const RankResult& one, double tolerance) {
  ASSERT_EQ(many.losses.size(), one.losses.size());
  for (size_t i = 0; i < one.losses.size(); ++i)
    EXPECT_NEAR(many.losses[i], one.losses[i], tolerance * std::abs(one.losses[i])) << "step " << i;
}

void expect_gradients(const RankResult& many, const RankResult& one) {
  ASSERT_EQ(many.gradients.size(), one.gradients.size());
  for (size_t id = 0; id < one.gradients.size(); ++id)
    EXPECT_LT(relative_difference(many.gradients[id], one.gradients[id]), kGradientTolerance)
        << "parameter " << id;
}

struct Axis {
  const char* name;
  std::vector<std::pair<const char*, std::vector<std::string>>> values;
};

constexpr int kFirstCalibrated = 4, kFirstOfOthers = 6;  // of the strategies

enum AxisId : size_t {
  kStrategy,
  kRanks,
  kGate,
  kScope,
  kMicroBatches,
  kDrops,
  kReshard,
  kDispatch,
  kDense,
  kDepth
};

// Compute so slow that any copy pays, and slots that the forecast leaves free.
const std::vector<std::string> kCalibrate = {"fssdp.calibrate=true", "fssdp.expert_gflops=1e-4",
                                             "fssdp.memory_capacity=4"};

// Compute so slow that copies pay, too.
const std::string kPays = "fssdp.expert_gflops=1e-4";

// micro_batches=N and ranks=N are this test's own. A balance over the batch needs one micro-batch.
const std::vector<Axis>& axes() {
  static const std::vector<Axis> all = {
      {"strategy",
       {{"ep", {"strategy=ep"}},
        {"fsdp", {"strategy=fsdp"}},
        {"fssdp", {"strategy=fssdp"}},
        {"fssdprm", {"strategy=fssdp-rm"}},
        {"fssdpcal", {"strategy=fssdp"}},
        {"fssdprmcal", {"strategy=fssdp-rm"}},
        {"smartmoe", {"strategy=smartmoe"}},
        {"fastermoe", {"strategy=fastermoe"}},
        {"flexmoe", {"strategy=flexmoe"}},
        {"eplb", {"strategy=eplb"}},
        {"laer", {"strategy=laer"}}}},
      {"ranks", {{"1", {}}, {"2", {}}, {"3", {}}, {"4", {}}, {"8", {}}}},
      {"gate",
       {{"softmax", {"model.gate=softmax_renormalized"}},
        {"sigmoid", {"model.gate=sigmoid_bias"}},
        {"gshard", {"model.gate=gshard"}}}},
      {"scope",
       {{"sequence", {"router.balance_scope=sequence"}},
        {"batch", {"router.balance_scope=batch"}}}},
      {"micro", {{"1", {}}, {"3", {}}}},
      {"drops", {{"none", {}}, {"some", {"router.capacity_factor=0.7"}}}},
      {"reshard",
       {{"never", {"fssdp.reshard_every=0", "rearrange.every=0"}},
        {"3", {"fssdp.reshard_every=3", "rearrange.every=3"}}}},
      {"dispatch", {{"nearest", {"fssdp.dispatch=nearest"}}, {"level", {"fssdp.dispatch=level"}}}},
      {"dense", {{"zero1", {"fssdp.dense=zero1"}}, {"zero3", {"fssdp.dense=zero3"}}}},
      {"depth",
       {{"0", {"fssdp.prefetch_depth=0"}},
        {"1", {"fssdp.prefetch_depth=1"}},
        {"2", {"fssdp.prefetch_depth=2"}}}},
  };
  return all;
}

RankCase case_of(const std::vector<int>& choice) {
  constexpr std::array<int, 5> kRankCounts = {1, 2, 3, 4, 8};
  RankCase test;
  test.ranks = kRankCounts[static_cast<size_t>(choice[kRanks])];
  test.ranks_per_node = test.ranks > 2 && test.ranks % 2 == 0 ? 2 : 0;
  test.micro_batches = choice[kMicroBatches] == 0 || choice[kScope] == 1 ? 1 : 3;
  test.settings = {"model.layers=3"};
  if (choice[kStrategy] >= kFirstOfOthers) test.settings.push_back(kPays);
  test.jumps = choice[kStrategy] >= kFirstCalibrated && choice[kStrategy] < kFirstOfOthers;
  if (test.jumps) test.settings.insert(test.settings.end(), kCalibrate.begin(), kCalibrate.end());
  for (size_t axis = 0; axis < choice.size(); ++axis) {
    const auto& [name, settings] = axes()[axis].values[static_cast<size_t>(choice[axis])];
    test.name += std::string(axis == 0 ? "" : "_") + axes()[axis].name + "_" + name;
    test.settings.insert(test.settings.end(), settings.begin(), settings.end());
  }
  return test;
}

// Axes that change nothing beside the others: one of their values stands for all.
bool is_repeated(const std::vector<int>& choice) {
  const auto chosen = [&](AxisId axis) {
    return std::string(axes()[axis].values[static_cast<size_t>(choice[axis])].first);
  };
  const auto later = [&](AxisId axis) { return choice[axis] > 0; };
  if (chosen(kScope) == "batch" && later(kMicroBatches)) return true;  // impossible
  if (chosen(kRanks) == "1")
    return later(kStrategy) || later(kReshard) || later(kDispatch) || later(kDense) ||
           later(kDepth);
  const std::string strategy = chosen(kStrategy);
  const bool sparse = strategy.starts_with("fssdp") || strategy == "smartmoe" ||
                      strategy == "flexmoe" || strategy == "eplb";
  const bool gathers_ahead =
      strategy == "fsdp" || strategy == "laer" || strategy.starts_with("fssdprm");
  return (!sparse && later(kReshard)) ||
         (!gathers_ahead && chosen(kDense) == "zero1" && later(kDepth));
}

std::vector<RankCase> cases() {
  std::vector<int> sizes;
  for (const Axis& axis : axes()) sizes.push_back(static_cast<int>(axis.values.size()));
  const bool full = std::getenv("HECATE_TEST_FULL") != nullptr;
  std::vector<RankCase> tests;
  for (const std::vector<int>& choice :
       full ? testing::full_product(sizes) : testing::pairwise(sizes))
    if (!full || !is_repeated(choice)) tests.push_back(case_of(choice));
  return tests;
}

class RanksTest : public ::testing::TestWithParam<RankCase> {
 protected:
  // Kept from test to test: many runs are compared with one.
  const RankResult& one(int64_t steps, const std::string& source) const {
    static std::map<std::string, RankResult> ones;
    RankCase whole = with_source(source);
    whole.micro_batches = 1;
    std::string key = std::to_string(steps) + (whole.jumps ? " jumps" : "");
    for (const std::string& each : whole.settings)
      if (!each.starts_with("strategy=") && !each.starts_with("fssdp.")) key += " " + each;
    const auto [found, is_new] = ones.try_emplace(key);
    if (is_new) {
      const RunConfig config = case_config(run_, whole, 1);
      found->second = run_ranks(config, case_options(config, whole, 1, steps, kRate));
    }
    return found->second;
  }
  RankResult many(int64_t steps, const std::string& source) const {
    const RankCase test = with_source(source);
    const RunConfig config = case_config(run_, test, test.ranks);
    return run_ranks(config, case_options(config, test, test.ranks, steps, kRate));
  }
  static RankCase with_source(const std::string& source) {
    RankCase test = GetParam();
    test.settings.insert(test.settings.begin(), "router.source=" + source);
    test.jumps = test.jumps && source != "learned";
    return test;
  }
  TinyRun run_;
};

// Routing does not depend on values here, so every difference is one of arithmetic.
TEST_P(RanksTest, TrainsAsOneProcess) {
  expect_gradients(many(1, "zipf:1.2"), one(1, "zipf:1.2"));
  const RankResult longer = many(kLongRun, "zipf:1.2");
  expect_losses(longer, one(kLongRun, "zipf:1.2"), kLossTolerance);
  const auto has = [&](const char* setting) {
    return std::ranges::count(GetParam().settings, setting) > 0;
  };
  // Where experts get no more than their capacity, copies of the heaviest need not help.
  if (has("strategy=fastermoe") && has("router.capacity_factor=0.7")) return;
  const bool copies = GetParam().jumps || has("strategy=fastermoe");
  EXPECT_EQ(longer.calibration.copies > 0, copies && GetParam().ranks > 1);
}

// Routing follows values: a tie that rounding decides would part the runs, sooner or later.
TEST_P(RanksTest, FirstLearnedStepsAreThoseOfOneProcess) {
  expect_losses(many(3, "learned"), one(3, "learned"), kDouble ? 1e-10 : 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Combinations, RanksTest, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

RankCase corner(std::string name, int ranks, std::string strategy,
                std::vector<std::string> settings) {
  settings.insert(settings.begin(), "strategy=" + std::move(strategy));
  return {.name = std::move(name),
          .ranks = ranks,
          .ranks_per_node = ranks % 2 == 0 ? 2 : 0,
          .micro_batches = 3,
          .settings = std::move(settings)};
}

const std::string kMove = "fssdp.reshard_every=2", kRearrange = "rearrange.every=2";

INSTANTIATE_TEST_SUITE_P(
    Corners, RanksTest,
    ::testing::Values(
        corner("one_expert_fssdp", 4, "fssdp", {"model.experts=1", "model.top_k=1", kMove}),
        corner("one_expert_ep", 3, "ep", {"model.experts=1", "model.top_k=1"}),
        corner("one_expert_fsdp", 2, "fsdp", {"model.experts=1", "model.top_k=1"}),
        corner("uneven_fssdp", 4, "fssdp", {"model.experts=5", kMove, "model.layers=3"}),
        corner("uneven_fssdprm", 3, "fssdp-rm", {"model.experts=5", kMove, "model.layers=3"}),
        corner("uneven_ep", 4, "ep", {"model.experts=7"}),
        corner("uneven_fsdp", 3, "fsdp", {"model.experts=7"}),
        corner("more_ranks_fssdp", 8, "fssdp", {"model.experts=3", kMove}),
        corner("more_ranks_fssdprm", 8, "fssdp-rm", {"model.experts=3", kMove}),
        corner("more_ranks_ep", 8, "ep", {"model.experts=3"}),
        corner("more_ranks_fsdp", 8, "fsdp", {"model.experts=3"}),
        corner("one_expert_laer", 3, "laer", {"model.experts=1", "model.top_k=1", kPays}),
        corner("uneven_smartmoe", 4, "smartmoe", {"model.experts=7", kRearrange}),
        corner("uneven_flexmoe", 4, "flexmoe", {"model.experts=7", kRearrange, kPays}),
        corner("uneven_laer", 3, "laer", {"model.experts=5", kPays, "model.recompute=all"}),
        corner("more_ranks_smartmoe", 8, "smartmoe", {"model.experts=3", kRearrange}),
        corner("more_ranks_fastermoe", 8, "fastermoe", {"model.experts=3", kPays}),
        corner("more_ranks_eplb", 8, "eplb", {"model.experts=3", kRearrange}),
        corner("more_ranks_laer", 8, "laer", {"model.experts=3", kPays}),
        corner("empty_experts_eplb", 4, "eplb", {"router.source=zipf:9", kRearrange}),
        corner("layers_between_fssdp", 4, "fssdp",
               {"model.layers=5", "model.moe_layers=every:2", kMove}),
        corner("layers_between_fssdprm", 3, "fssdp-rm",
               {"model.layers=5", "model.moe_layers=every:2", kMove}),
        corner("layers_between_zero3", 2, "fssdp-rm",
               {"model.layers=5", "model.moe_layers=every:2", "fssdp.dense=zero3"}),
        corner("empty_experts_fssdp", 4, "fssdp", {"router.source=zipf:9", kMove}),
        corner("empty_experts_ep", 3, "ep", {"router.source=zipf:9"}),
        corner("shared_experts", 4, "fssdp", {"model.shared_experts=2", kMove}),
        corner("recompute_fssdp", 4, "fssdp", {"model.recompute=all", "model.layers=3", kMove}),
        corner("recompute_fssdprm", 3, "fssdp-rm", {"model.recompute=all", "model.layers=3"}),
        corner("recompute_fsdp", 2, "fsdp", {"model.recompute=every:2", "model.layers=3"}),
        corner("masked", 4, "fssdp", {"model.objective=masked", kMove}),
        corner("masked_ep", 3, "ep", {"model.objective=masked"}),
        corner("random_fssdp", 4, "fssdp",
               {"model.dropout=0.1", "router.jitter=0.05", "model.recompute=all", kMove}),
        corner("random_fssdprm", 3, "fssdp-rm", {"model.dropout=0.1", "router.jitter=0.05"}),
        corner("switch", 4, "fssdp", {"model.gate=switch", "model.top_k=1", kMove}),
        corner("nothing_gathered", 4, "fssdp", {"fssdp.overlap_degree=0", kMove}),
        corner("all_gathered", 4, "fssdp", {"fssdp.overlap_degree=6", "fssdp.memory_capacity=6"}),
        corner("documents", 3, "fssdp", {"data.mask_documents=true", "data.document_end=10"}),
        corner("drops_everything_but_one", 4, "fssdp-rm", {"router.capacity_factor=0.01"})),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hecate::launcher
