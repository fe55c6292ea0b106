#include <gtest/gtest.h>

#include <cmath>

#include "launcher/train/setup.h"
#include "tests/launcher/train/rank_run.h"
#include "tests/launcher/train/tiny_run.h"

namespace hecate::launcher {
namespace {

constexpr double kGradientTolerance = sizeof(Real) == 8 ? 1e-10 : 1e-5;

struct Case {
  std::string name;
  int ranks;
  int ranks_per_node;
  std::vector<std::string> settings;
};

std::vector<std::string> common() {
  return {"train.global_batch=24", "model.experts=6", "fssdp.overlap_degree=3",
          "fssdp.memory_capacity=2", "router.z_loss=0.01"};
}

class RanksTest : public testing::TestWithParam<Case> {
 protected:
  RunConfig config(const std::vector<std::string>& more, int ranks) const {
    std::vector<std::string> settings = common();
    settings.insert(settings.end(), more.begin(), more.end());
    int64_t micro_batches = 1;
    for (const std::string& each : more)
      if (each.starts_with("micro_batches=")) micro_batches = std::stoll(each.substr(14));
    std::erase_if(settings, [](const auto& each) { return each.starts_with("micro_batches="); });
    settings.push_back("train.micro_batch=" + std::to_string(24 / micro_batches / ranks));
    return run_.config(settings);
  }
  TinyRun run_;
};

// Routing does not depend on values here, so every difference is one of arithmetic.
TEST_P(RanksTest, GradientsAreThoseOfOneProcess) {
  std::vector<std::string> settings = GetParam().settings;
  settings.push_back("router.source=zipf:1.2");
  // The step before the last moves parameters, so that materialized copies must be fresh.
  const RankResult one = run_ranks(config(settings, 1), {.steps = 4});
  const RankResult many = run_ranks(
      config(settings, GetParam().ranks),
      {.ranks = GetParam().ranks, .ranks_per_node = GetParam().ranks_per_node, .steps = 4});
  for (size_t i = 0; i < one.losses.size(); ++i)
    EXPECT_NEAR(many.losses[i], one.losses[i], 1e-5 * std::abs(one.losses[i])) << "step " << i;
  for (size_t id = 0; id < one.gradients.size(); ++id)
    EXPECT_LT(relative_difference(many.gradients[id], one.gradients[id]), 10 * kGradientTolerance)
        << "parameter " << id;
}

INSTANTIATE_TEST_SUITE_P(
    Strategies, RanksTest,
    testing::Values(
        Case{"ep2", 2, 0, {"strategy=ep"}}, Case{"ep3", 3, 0, {"strategy=ep"}},
        Case{"fsdp4", 4, 2, {"strategy=fsdp"}}, Case{"fssdp2", 2, 0, {"strategy=fssdp"}},
        Case{"fssdp4", 4, 2, {"strategy=fssdp", "fssdp.reshard_every=2"}},
        Case{"fssdprm3", 3, 0, {"strategy=fssdp-rm"}},
        Case{"fssdprm4", 4, 2, {"strategy=fssdp-rm", "micro_batches=3"}},
        Case{"fssdp4m", 4, 2, {"strategy=fssdp", "micro_batches=3"}},
        Case{"ep8", 8, 2, {"strategy=ep"}},
        Case{"fssdp8", 8, 2, {"strategy=fssdp", "router.capacity_factor=0.7", "micro_batches=3"}}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hecate::launcher
