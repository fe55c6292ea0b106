#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "launcher/train/plan_inputs.h"
#include "launcher/train/step_record.h"
#include "tests/launcher/train/rank_comparison.h"

/// Plans that are corrected after the gate (fssdp.calibrate), on routing that no forecast knows.
namespace hecate::launcher {
namespace {

using testing::HasSubstr;

constexpr int64_t kSteps = 6;
constexpr double kRate = 1e-3;

RankCase jumping(const std::string& strategy, int64_t micro_batches, bool calibrate,
                 const std::string& gflops = "1e-3") {
  return {.name = strategy,
          .ranks = 4,
          .ranks_per_node = 2,
          .micro_batches = micro_batches,
          .settings = {"strategy=" + strategy, "model.layers=3", "fssdp.overlap_degree=2",
                       "fssdp.memory_capacity=4", "fssdp.reshard_every=2",
                       "fssdp.expert_gflops=" + gflops,
                       calibrate ? "fssdp.calibrate=true" : "fssdp.calibrate=false"},
          .jumps = true};
}

struct Variant {
  std::string strategy;
  int64_t micro_batches;
};

class CalibrationTest : public testing::TestWithParam<Variant> {
 protected:
  RankResult run(bool calibrate, const std::vector<std::string>& settings = {}) const {
    RankCase test = jumping(GetParam().strategy, GetParam().micro_batches, calibrate);
    test.settings.insert(test.settings.end(), settings.begin(), settings.end());
    return run_case(run_, test, kSteps);
  }
  TinyRun run_;
};

// 3 of 4 tokens go to an expert that nobody expected: its owner's node computes them all, unless
// the others get a copy.
TEST_P(CalibrationTest, RelievesTheBusiestRankWhereTheForecastIsWrong) {
  const RankResult plain = run(false), corrected = run(true);
  EXPECT_EQ(plain.calibration.copies, 0);
  EXPECT_EQ(plain.extended_bytes, 0);
  EXPECT_GT(corrected.calibration.layers, kSteps);
  EXPECT_GT(corrected.calibration.copies, corrected.calibration.layers);
  EXPECT_GT(corrected.extended_bytes, 0);
  EXPECT_LT(static_cast<double>(corrected.busiest_rank_rows),
            0.75 * static_cast<double>(plain.busiest_rank_rows));
  const auto kind = static_cast<size_t>(graph::OpKind::calibrate);
  EXPECT_GT(corrected.last[0].seconds_by_kind[kind], 0);
  EXPECT_EQ(plain.last[0].seconds_by_kind[kind], 0);
  ::testing::Test::RecordProperty("busiest_rows_plain", std::to_string(plain.busiest_rank_rows));
  ::testing::Test::RecordProperty("busiest_rows_corrected",
                                  std::to_string(corrected.busiest_rank_rows));
}

TEST_P(CalibrationTest, TwoRunsHaveTheSameBits) {
  const RankResult a = run(true), b = run(true);
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_EQ(a.gradients, b.gradients);
  EXPECT_EQ(a.parameters, b.parameters);
  EXPECT_EQ(a.calibration.copies, b.calibration.copies);
}

TEST_P(CalibrationTest, ChangesNothingWhereTheGatherCostsMoreThanItSaves) {
  // Nothing to gain from compute, and an expert as large as all tokens.
  const std::vector<std::string> dear = {"fssdp.expert_gflops=1e9", "model.expert_hidden=1024"};
  const RankResult plain = run(false, dear), corrected = run(true, dear);
  EXPECT_EQ(corrected.calibration.copies, 0);
  EXPECT_EQ(corrected.losses, plain.losses);
  EXPECT_EQ(corrected.parameters, plain.parameters);
}

INSTANTIATE_TEST_SUITE_P(Variants, CalibrationTest,
                         testing::Values(Variant{"fssdp", 1}, Variant{"fssdp", 3},
                                         Variant{"fssdp-rm", 1}, Variant{"fssdp-rm", 3}),
                         [](const auto& test) {
                           return std::string(test.param.strategy == "fssdp" ? "fssdp"
                                                                             : "fssdprm") +
                                  "_" + std::to_string(test.param.micro_batches);
                         });

RankCase trained(RankCase test, std::vector<std::string> settings) {
  test.settings.insert(test.settings.end(), settings.begin(), settings.end());
  return test;
}

class CalibratedTrainingTest : public testing::TestWithParam<RankCase> {
 protected:
  TinyRun run_;
};

TEST_P(CalibratedTrainingTest, IsThatOfOneProcess) {
  EXPECT_GT(expect_same_training(run_, GetParam()).calibration.copies, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Corners, CalibratedTrainingTest,
    testing::Values(
        trained(jumping("fssdp", 3, true), {"fssdp.domain=node"}),
        trained(jumping("fssdp-rm", 3, true), {"fssdp.domain=node", "model.recompute=all"}),
        trained(jumping("fssdp", 1, true), {"model.recompute=all", "model.shared_experts=1"}),
        trained(jumping("fssdp-rm", 3, true),
                {"fssdp.prefetch_depth=0", "router.capacity_factor=0.7"}),
        trained(jumping("fssdp-rm", 2, true),
                {"fssdp.dense=zero3", "model.layers=5", "model.moe_layers=every:2"})),
    [](const auto& test) { return "case" + std::to_string(test.index); });

// What a step left to bf16 copies is rounded alike on every rank that has one.
TEST(CalibrationWireTest, Bf16CopiesGiveTheSameBitsTwice) {
  const TinyRun run;
  const RankCase test = trained(jumping("fssdp-rm", 3, true), {"fssdp.gather_dtype=bf16"});
  const RankResult a = run_case(run, test, kSteps), b = run_case(run, test, kSteps);
  EXPECT_GT(a.calibration.copies, 0);
  EXPECT_EQ(a.losses, b.losses);
}

TEST(CalibrationInputsTest, ExpertRateIsKeptAndMayBeAbsent) {
  PlanInputs inputs;
  inputs.topology = collectives::Topology::uniform(2, 2, {8e9, 1e-6}, {8e9, 1e-6});
  inputs.expert_flops_per_s = 4.2e9;
  const std::string text = to_text(inputs);
  EXPECT_EQ(plan_inputs_from_text(text).expert_flops_per_s, 4.2e9);
  std::string older = text;
  const size_t begin = older.find("  \"expert_flops_per_s\"");
  older.erase(begin, older.find('\n', begin) + 1 - begin);
  EXPECT_EQ(plan_inputs_from_text(older).expert_flops_per_s, 0);
}

TEST(CalibrationInputsTest, ExpertRateIsThatOfThePacedDevice) {
  const TinyRun run;
  const RunConfig config = run.config({"device.kind=paced", "device.pace_gflops=0.02"});
  const double rate = measure_expert_rate(config, 1);
  EXPECT_GT(rate, 0.01e9);
  EXPECT_LT(rate, 0.0201e9);
}

TEST(CalibrationInputsTest, AnUnknownExpertRateIsRefused) {
  const TinyRun run;
  RankCase test = jumping("fssdp", 1, true, "0");
  try {
    run_case(run, test, 1);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.what(), HasSubstr("give fssdp.expert_gflops"));
  }
}

// Copies' traffic in backward hides as far as the time there exceeds what t experts take.
TEST(CalibrationInputsTest, ExposedReductionFollowsTheSpareTime) {
  const TinyRun run;
  const RunConfig config = run.config({"model.experts=16"});
  PlanInputs inputs;
  inputs.topology = collectives::Topology::uniform(2, 1, {8e9, 1e-6}, {1e8, 1e-6});
  inputs.overlap_degree = 4;
  const double expert_seconds = 4.0 * 2 * 32 * 32 * (config.model.gated() ? 1.5 : 1) / 1e8;
  const auto exposed = [&](double experts) {
    inputs.backward_seconds = (experts + 0.5) * expert_seconds * sizeof(Real) / 4;
    return exposed_reduction(config, inputs);
  };
  EXPECT_EQ(exposed(4), 1);
  EXPECT_EQ(exposed(6), 0.5);
  EXPECT_EQ(exposed(8), 0);
  EXPECT_EQ(exposed(12), 0);
}

}  // namespace
}  // namespace hecate::launcher
