#include "launcher/train/prediction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/run_plan.h"
#include "tests/launcher/train/rank_run.h"
#include "tests/launcher/train/tiny_run.h"

namespace hecate::launcher {
namespace {

using testing::HasSubstr;

class PredictionTest : public testing::Test {
 protected:
  RunConfig config(const std::string& strategy) const {
    return run_.config({"train.global_batch=12", "train.micro_batch=0", "model.experts=7",
                        "model.layers=4", "fssdp.overlap_degree=3", "fssdp.memory_capacity=2",
                        "router.source=even", "fssdp.expert_gflops=1e-3", "strategy=" + strategy});
  }
  static PlanInputs inputs(int ranks) {
    PlanInputs inputs;
    inputs.topology = collectives::Topology::uniform(ranks, ranks, {}, {});
    inputs.overlap_degree = 3;
    inputs.memory_capacity = 2;
    return inputs;
  }
  TinyRun run_;
};

// What is there from the start is predicted to the byte; row buffers follow from routing.
TEST_F(PredictionTest, ImaginedRanksHoldWhatRealOnesHold) {
  for (const char* strategy :
       {"ep", "fsdp", "fssdp", "fssdp-rm", "smartmoe", "fastermoe", "flexmoe", "eplb", "laer"}) {
    const RankResult real = run_ranks(config(strategy), {.ranks = 3, .steps = 2});
    for (int rank = 0; rank < 3; ++rank) {
      const MemoryBytes predicted = predict_memory(config(strategy), inputs(3), rank);
      const MemoryBytes& measured = real.peak[static_cast<size_t>(rank)];
      for (MemoryCategory category : {MemoryCategory::parameters, MemoryCategory::gradients,
                                      MemoryCategory::optimizer, MemoryCategory::materialized})
        EXPECT_EQ(predicted[static_cast<size_t>(category)], measured[static_cast<size_t>(category)])
            << strategy << " " << name_of(category) << " of rank " << rank;
      EXPECT_NEAR(static_cast<double>(total(predicted)), static_cast<double>(total(measured)),
                  0.1 * static_cast<double>(total(measured)))
          << strategy;
    }
  }
}

TEST_F(PredictionTest, CountsTheSlotsThatCalibrationMayFill) {
  RunConfig run = config("fssdp");
  run.fssdp.calibrate = true;
  run.fssdp.expert_gflops = 1e-4;
  run.fssdp.memory_capacity = 6;  // t is 3
  PlanInputs plan = inputs(3);
  plan.memory_capacity = 6;
  const RankResult real = run_ranks(run, {.ranks = 3, .steps = 2});
  for (int rank = 0; rank < 3; ++rank)
    for (MemoryCategory category : {MemoryCategory::gradients, MemoryCategory::materialized})
      EXPECT_EQ(predict_memory(run, plan, rank)[static_cast<size_t>(category)],
                real.peak[static_cast<size_t>(rank)][static_cast<size_t>(category)])
          << name_of(category) << " of rank " << rank;
  run.device.memory_gib = 10;
  EXPECT_EQ(fitting_capacity(run, plan), 6);
  plan.overlap_degree = 4;
  EXPECT_EQ(fitting_capacity(run, plan), 7) << "there are no more experts";
}

TEST_F(PredictionTest, ImaginedDomainsHoldWhatRealOnesHold) {
  for (const char* dense : {"zero1", "zero3"}) {
    RunConfig run = config("fssdp-rm");
    run.fssdp.domain = "node";
    run.fssdp.dense = dense;
    const RankResult real = run_ranks(run, {.ranks = 6, .ranks_per_node = 2, .steps = 1});
    PlanInputs plan = inputs(6);
    plan.topology = collectives::Topology::uniform(6, 2, {}, {});
    for (int rank = 0; rank < 6; ++rank) {
      const MemoryBytes predicted = predict_memory(run, plan, rank);
      const MemoryBytes& measured = real.peak[static_cast<size_t>(rank)];
      for (MemoryCategory category : {MemoryCategory::parameters, MemoryCategory::gradients,
                                      MemoryCategory::optimizer, MemoryCategory::materialized})
        EXPECT_EQ(predicted[static_cast<size_t>(category)], measured[static_cast<size_t>(category)])
            << dense << " " << name_of(category) << " of rank " << rank;
    }
  }
}

TEST_F(PredictionTest, PlansDomains) {
  RunConfig run = config("fssdp");
  run.fssdp.domain = std::to_string(2);
  EXPECT_THAT(plan_run(run, {.ranks = 4, .load_factor = 1}), HasSubstr("in 2 domains of 2 ranks"));
  try {
    plan_run(run, {.ranks = 3, .load_factor = 1});
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.what(), HasSubstr("fssdp.domain = 2"));
    EXPECT_THAT(error.what(), HasSubstr("nearest valid: 1 or 3"));
  }
}

TEST_F(PredictionTest, BudgetDecidesHowManyCopiesFit) {
  RunConfig run = config("fssdp");
  PlanInputs plan = inputs(3);
  plan.overlap_degree = 6;
  const auto gib_of = [&](int copies) {
    PlanInputs each = plan;
    each.memory_capacity = copies;
    return static_cast<double>(total(predict_memory(run, each, 0))) / (1 << 30);
  };
  run.device.memory_gib = gib_of(2) + 1e-6;
  EXPECT_EQ(fitting_capacity(run, plan), 2);
  run.device.memory_gib = 10;
  EXPECT_EQ(fitting_capacity(run, plan), 6);
  run.device.memory_gib = gib_of(0) - 1e-4;
  try {
    fitting_capacity(run, plan);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.what(), HasSubstr("device.memory_gib"));
    EXPECT_THAT(error.what(), HasSubstr("more than the budget"));
    EXPECT_THAT(error.what(), HasSubstr("model.recompute=all"));
  }
}

TEST_F(PredictionTest, PlanNamesWhatItDoesNotKnow) {
  RunConfig run = config("fssdp");
  run.fssdp.overlap_degree = -1;
  EXPECT_THAT(plan_run(run, {.ranks = 3, .load_factor = 1}), HasSubstr("links unknown"));
  run.cluster.inside_gb_per_s = 5;
  EXPECT_THAT(plan_run(run, {.ranks = 3, .load_factor = 1}), HasSubstr("rank 2: "));
  EXPECT_THROW(plan_run(run, {.ranks = 0, .load_factor = 1}), InvalidArgument);
}

}  // namespace
}  // namespace hecate::launcher
