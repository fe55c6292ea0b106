#include <gtest/gtest.h>

#include "runtime/device/cuda_device.h"
#include "tests/launcher/train/rank_run.h"
#include "tests/launcher/train/tiny_run.h"

/// Training on CUDA against the CPU; this executable has the emulated device or a real one.
namespace hecate::launcher {
namespace {

constexpr double kSame = 1e-4;

struct Case {
  const char* name;
  int ranks;
  std::vector<std::string> overrides;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

class CudaTrainingTest : public testing::TestWithParam<Case> {};

TEST_P(CudaTrainingTest, FollowsTheCpu) {
  if (cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device: " << cuda::why_none();
  const TinyRun run;
  const RunConfig config = run.config(GetParam().overrides);
  RankRunOptions options;
  options.ranks = GetParam().ranks;
  options.rate = 1e-4;  // AdamW makes steps of this size from gradients of any
  const RankResult cpu = run_ranks(config, options);
  options.adjust = [](EngineOptions& engine) { engine.device = DeviceKind::cuda; };
  const RankResult cuda = run_ranks(config, options);
  ASSERT_EQ(cuda.losses.size(), cpu.losses.size());
  for (size_t step = 0; step < cpu.losses.size(); ++step) {
    EXPECT_NEAR(cuda.losses[step], cpu.losses[step], kSame * cpu.losses[step]) << step;
    EXPECT_NEAR(cuda.gradient_norms[step], cpu.gradient_norms[step],
                kSame * cpu.gradient_norms[step])
        << step;
  }
  for (size_t i = 0; i < cpu.gradients.size(); ++i)
    EXPECT_LE(relative_difference(cuda.gradients[i], cpu.gradients[i]), kSame) << "gradient " << i;
}

INSTANTIATE_TEST_SUITE_P(
    Runs, CudaTrainingTest,
    testing::Values(Case{"OneRank", 1, {}},
                    Case{"Latent", 1, {"model.attention=latent", "model.gate=sigmoid_bias"}},
                    Case{"Drops", 1, {"router.capacity_factor=1", "model.gate=gshard"}},
                    Case{"TwoRanks",
                         2,
                         {"train.global_batch=8", "fssdp.overlap_degree=2",
                          "fssdp.memory_capacity=2"}}),
    testing::PrintToStringParamName());

}  // namespace
}  // namespace hecate::launcher
