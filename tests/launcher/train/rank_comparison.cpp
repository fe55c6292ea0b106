#include "tests/launcher/train/rank_comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

namespace hecate::launcher {
namespace {

// Odd: owners that change every 2 steps do not after the last one, whose gradients are compared.
constexpr int64_t kSteps = 5;
// Enough to tell stale copies from fresh ones.
constexpr double kRate = 1e-3;
constexpr bool kDouble = sizeof(Real) == 8;
constexpr double kGradientTolerance = kDouble ? 1e-10 : 1e-5;
// f32 runs drift apart: Adam's first updates are all of one size, however small the gradient.
constexpr double kDriftTolerance = kDouble ? 1e-10 : 1e-3;
constexpr double kLossTolerance = kDouble ? 1e-10 : 1e-5;

void expect_equal(const RankResult& many, const RankResult& one, double tolerance) {
  ASSERT_EQ(many.losses.size(), one.losses.size());
  for (size_t i = 0; i < one.losses.size(); ++i) {
    EXPECT_NEAR(many.losses[i], one.losses[i], kLossTolerance * std::abs(one.losses[i]))
        << "step " << i;
    EXPECT_NEAR(many.gradient_norms[i], one.gradient_norms[i], tolerance * one.gradient_norms[i])
        << "step " << i;
  }
  for (size_t id = 0; id < one.gradients.size(); ++id)
    EXPECT_LT(relative_difference(many.gradients[id], one.gradients[id]), tolerance)
        << "parameter " << id << " after " << one.losses.size() << " steps";
}

}  // namespace

RunConfig case_config(const TinyRun& run, const RankCase& test, int ranks) {
  std::vector<std::string> settings = {"train.global_batch=" + std::to_string(test.batch),
                                       "model.experts=6",
                                       "fssdp.overlap_degree=3",
                                       "fssdp.memory_capacity=2",
                                       "router.z_loss=0.01",
                                       "router.source=zipf:1.2"};
  settings.insert(settings.end(), test.settings.begin(), test.settings.end());
  settings.push_back("train.micro_batch=" +
                     std::to_string(test.batch / test.micro_batches / ranks));
  return run.config(settings);
}

RankRunOptions case_options(const RunConfig& config, const RankCase& test, int ranks, int64_t steps,
                            double rate) {
  RankRunOptions options{.ranks = ranks,
                         .ranks_per_node = ranks > 1 ? test.ranks_per_node : 0,
                         .steps = steps,
                         .rate = rate};
  if (test.jumps)
    options.prepare = [routing = std::make_shared<JumpingRouting>(config.model.experts)](
                          Engine& engine) { engine.pin_routing(routing.get()); };
  return options;
}

RankResult run_case(const TinyRun& run, const RankCase& test, int64_t steps) {
  const RunConfig config = case_config(run, test, test.ranks);
  return run_ranks(config, case_options(config, test, test.ranks, steps, kRate));
}

RankResult expect_same_training(const TinyRun& run, const RankCase& test) {
  const RunConfig config = case_config(run, test, 1);
  expect_equal(run_case(run, test, 1), run_ranks(config, case_options(config, test, 1, 1, kRate)),
               kGradientTolerance);
  RankResult many = run_case(run, test, kSteps);
  expect_equal(many, run_ranks(config, case_options(config, test, 1, kSteps, kRate)),
               kDriftTolerance);
  return many;
}

}  // namespace hecate::launcher
