#include "monitoring/report/summary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace hecate::monitoring {
namespace {

// Four equal steps of 100 ms.
RunData run_of(const std::map<std::string, double>& columns) {
  RunData run;
  for (int i = 1; i <= 4; ++i) {
    run.steps.add_row();
    run.steps.set("step", i);
    run.steps.set("step_seconds", 0.1);
    for (const auto& [name, value] : columns) run.steps.set(name, value);
  }
  return run;
}

std::map<std::string, double> seconds_of(const std::vector<StepPart>& parts) {
  std::map<std::string, double> seconds;
  for (const StepPart& part : parts)
    seconds[(part.exposed ? "wait " : "") + part.name] = part.seconds;
  return seconds;
}

TEST(StepPartsTest, ComputeWaitsAndTheRestAddUpToTheStep) {
  const auto seconds = seconds_of(step_parts(run_of({{"breakdown.attention", 0.02},
                                                     {"breakdown.gemm", 0.01},
                                                     {"breakdown.loss", 0.005},
                                                     {"breakdown.expert_gemm", 0.03},
                                                     {"breakdown.dispatch", 0.9},
                                                     {"breakdown.data", 0.001},
                                                     {"sharded.waited_seconds.dispatch", 0.004}})));
  EXPECT_DOUBLE_EQ(seconds.at("attention"), 0.02);
  EXPECT_DOUBLE_EQ(seconds.at("dense layers"), 0.015);
  EXPECT_DOUBLE_EQ(seconds.at("experts"), 0.03);
  EXPECT_DOUBLE_EQ(seconds.at("wait dispatch"), 0.004) << "not the time that is hidden";
  EXPECT_DOUBLE_EQ(seconds.at("wait data"), 0.001);
  EXPECT_NEAR(seconds.at("rest"), 0.03, 1e-12);
  EXPECT_EQ(seconds.size(), 6u) << "what takes no time is left out";
}

TEST(StepPartsTest, NothingKnownIsNothingShown) {
  EXPECT_TRUE(step_parts(RunData{}).empty());
  EXPECT_TRUE(hidden_times(run_of({{"breakdown.gemm", 0.1}})).empty());
}

TEST(HiddenTimesTest, ExposedIsAPartOfBusy) {
  const auto times = hidden_times(run_of({{"breakdown.combine", 0.02},
                                          {"sharded.waited_seconds.combine", 0.005},
                                          {"sharded.waited_seconds.dense_gather", 0.002},
                                          {"breakdown.dense_gather", 0.001}}));
  ASSERT_EQ(times.size(), 2u);
  EXPECT_EQ(times[0].name, "combine");
  EXPECT_DOUBLE_EQ(times[0].busy_seconds, 0.02);
  EXPECT_DOUBLE_EQ(times[0].exposed_seconds, 0.005);
  // The mean of the ranks may be above what the first one was busy for.
  EXPECT_DOUBLE_EQ(times[1].busy_seconds, 0.002);
}

TEST(SummaryTest, TakesTheWorstLayerAndTheBestEvaluation) {
  RunData run = run_of({{"loss", 3},
                        {"load.0.max_over_mean", 2},
                        {"load.10.max_over_mean", 4},
                        {"peak_bytes.parameters", 100},
                        {"peak_bytes.buffers", 11}});
  for (const double loss : {3.5, 3.1, 3.2}) {
    run.evaluations.add_row();
    run.evaluations.set("eval_loss", loss);
  }
  const RunSummary summary = summarise(run);
  EXPECT_EQ(summary.imbalance, 4);
  EXPECT_EQ(summary.best_eval_loss, 3.1);
  EXPECT_EQ(summary.peak_bytes, 111);
  EXPECT_EQ(summary.step_seconds, 0.1);
  EXPECT_TRUE(std::isnan(summary.bits_per_byte));
  EXPECT_TRUE(std::isnan(summarise(RunData{}).last_loss));
}

}  // namespace
}  // namespace hecate::monitoring
