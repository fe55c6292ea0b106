#include "scheduler/run_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "scheduler/length.h"

/// The schedule of a run: lengths, units, batches that grow.
namespace hecate::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kSteps = 400, kBatch = 6, kSequence = 32;

RunLength even_run() {
  return {kSteps, kBatch, kSequence};
}

std::vector<double> rates(const RunSchedule& schedule) {
  std::vector<double> all;
  const RunLength& run = schedule.run();
  for (int64_t step = 0; step < run.steps(); ++step)
    all.push_back(schedule.rate({step, run.tokens_at(step)}, {step + 1, run.tokens_at(step + 1)}));
  return all;
}

std::vector<double> rates(const ScheduleConfig& config, const RunLength& run = even_run()) {
  return rates(RunSchedule(config, run));
}

// Every kind with lengths as steps, tokens and shares that mean the same.
TEST(RunScheduleTest, StepsTokensAndSharesAgree) {
  const int64_t tokens = kBatch * kSequence;
  for (const std::string& kind : schedule_kinds()) {
    ScheduleConfig steps = ScheduleConfig::of_kind(kind);
    steps.warmup = "20";
    steps.decay = "80 steps";
    steps.tail = "8";
    const bool cycles = kind == "wsd_s" || kind == "cyclic_cosine";
    if (cycles) steps.end_points = {"100", "400"};
    ScheduleConfig seen = steps, shares = steps;
    seen.warmup = std::to_string(20 * tokens) + " tokens";
    seen.decay = std::to_string(80 * tokens) + " tokens";
    seen.tail = std::to_string(8 * tokens) + " tokens";
    shares.warmup = "5%";
    shares.decay = "20%";
    shares.tail = "2%";
    if (cycles) {
      seen.end_points = {std::to_string(100 * tokens) + " tokens", "400 steps"};
      shares.end_points = {"25%", "100%"};
    }
    if (kind == "wsd_s") steps.decay = seen.decay = shares.decay = "10%";
    const auto expected = rates(steps), by_tokens = rates(seen), by_shares = rates(shares);
    EXPECT_TRUE(RunSchedule(seen, even_run()).over_tokens()) << kind;
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(by_tokens[i], expected[i], 1e-12 * steps.rate) << kind << " step " << i;
      EXPECT_NEAR(by_shares[i], expected[i], 1e-12 * steps.rate) << kind << " step " << i;
    }
  }
}

TEST(RunScheduleTest, TheFirstUpdateMovesAndTheLastIsAtTheFloor) {
  ScheduleConfig config = ScheduleConfig::of_kind("wsd");
  config.warmup = "4";
  config.floor_ratio = 0.25;
  const auto all = rates(config);
  EXPECT_DOUBLE_EQ(all.front(), config.rate / 4);
  EXPECT_DOUBLE_EQ(all.back(), config.rate / 4);
}

TEST(RunScheduleTest, CyclesEndInTheUpdateThatReachesTheirEnd) {
  ScheduleConfig config = ScheduleConfig::of_kind("wsd_s");
  config.warmup = "0";
  // 192 tokens are a step: the second end point lies inside the 200th.
  config.end_points = {"100 steps", "38300 tokens", "100%"};
  const RunSchedule schedule(config, even_run());
  std::vector<int64_t> ends;
  for (int64_t step = 0; step < kSteps; ++step) {
    const Position from{step, step * 192}, to{step + 1, (step + 1) * 192};
    if (!schedule.ends_cycle(from, to)) continue;
    ends.push_back(to.step);
    EXPECT_DOUBLE_EQ(schedule.rate(from, to), 0.1 * config.rate) << to.step;
  }
  EXPECT_THAT(ends, ElementsAre(100, 200, 400));
  EXPECT_DOUBLE_EQ(rates(schedule)[100], config.rate);
}

TEST(RunScheduleTest, KindsHaveTheirPapersDefaults) {
  EXPECT_EQ(ScheduleConfig::of_kind("power").rate, 0.02);
  EXPECT_EQ(ScheduleConfig::of_kind("power").floor_ratio, 0);
  EXPECT_EQ(ScheduleConfig::of_kind("wsd_s").decay_shape, "inverse");
  EXPECT_EQ(ScheduleConfig::of_kind("wsd_s").floor_ratio, 0.1);
  for (const std::string& kind : schedule_kinds())
    EXPECT_NO_THROW(rates(ScheduleConfig::of_kind(kind))) << kind;
}

TEST(RunLengthTest, StagesMakeStepsOfUnequalSize) {
  const RunLength run(10, 8, 100, {{.steps = 3, .sequences = 2}, {.steps = 2, .sequences = 4}});
  EXPECT_EQ(run.batch_at(0), 2);
  EXPECT_EQ(run.batch_at(2), 2);
  EXPECT_EQ(run.batch_at(3), 4);
  EXPECT_EQ(run.batch_at(5), 8);
  EXPECT_EQ(run.tokens_at(int64_t{3}), 600);
  EXPECT_EQ(run.tokens_at(int64_t{5}), 1400);
  EXPECT_EQ(run.tokens(), 1400 + 5 * 800);
  for (int64_t step = 0; step <= 12; ++step) {
    EXPECT_DOUBLE_EQ(run.tokens_at(static_cast<double>(step)),
                     static_cast<double>(run.tokens_at(step)));
    EXPECT_DOUBLE_EQ(run.step_at(static_cast<double>(run.tokens_at(step))),
                     static_cast<double>(step));
  }
}

// Power's rate is a function of the tokens seen and of the batch, however it came to be.
TEST(RunScheduleTest, ABatchRampFeedsPower) {
  ScheduleConfig config = ScheduleConfig::of_kind("power");
  config.warmup = "10 steps";
  config.rate = 100;
  const RunLength ramp(kSteps, 8, kSequence, {{.steps = 100, .sequences = 2}});
  const auto all = rates(config, ramp);
  for (const int64_t step : {50, 99, 100, 200}) {
    const double tokens = static_cast<double>(ramp.tokens_at(step + 1));
    const double beta = (step < 100 ? 2.0 : 8.0) * kSequence / 4096;
    EXPECT_NEAR(all[static_cast<size_t>(step)], beta * 4 * std::pow(tokens, -0.51), 1e-12) << step;
  }
}

std::string refusal(const std::string& kind, const std::function<void(ScheduleConfig&)>& change) {
  ScheduleConfig config = ScheduleConfig::of_kind(kind);
  change(config);
  try {
    rates(config);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(RunScheduleTest, ImpossibleLengthsAreRefused) {
  using C = ScheduleConfig;
  const auto says = [](const std::string& kind, const std::function<void(C&)>& change,
                       const std::string& text) {
    EXPECT_THAT(refusal(kind, change), HasSubstr(text)) << kind;
  };
  says(
      "wsd", [](C& c) { c.decay = "2000"; }, "schedule.decay of 2000 steps is longer than the run");
  says(
      "wsd", [](C& c) { c.decay = "1B tokens"; }, "schedule.decay of 1000000000 tokens is longer");
  says(
      "wsd", [](C& c) { c.decay = "-10%"; }, "schedule.decay = '-10%': expected a finite length");
  says(
      "wsd", [](C& c) { c.warmup = "120%"; }, "expected at most 100%");
  says(
      "wsd", [](C& c) { c.warmup = "soon"; }, "schedule.warmup = 'soon': expected steps (200)");
  says(
      "wsd", [](C& c) { c.warmup = "95%"; }, "beyond the start of schedule.decay at 360 steps");
  says(
      "wsd_s",
      [](C& c) {
        c.end_points = {"50%", "10%"};
      },
      "40 steps after 200 steps");
  says(
      "wsd_s", [](C& c) { c.decay = "20 steps"; }, "expected a share of the run so far");
  says(
      "wsd", [](C& c) { c.end_points = {"50%"}; }, "expected wsd_s or cyclic_cosine");
  says(
      "power", [](C& c) { c.warmup = "1e9 tokens"; }, "the run has 76800 tokens");
}

TEST(RunScheduleTest, ImpossibleRampsAreRefused) {
  EXPECT_THROW(RunLength(10, 8, 100, {{.steps = 10, .sequences = 2}}), InvalidArgument);
  EXPECT_THROW(RunLength(10, 8, 100, {{.steps = 0, .sequences = 2}}), InvalidArgument);
  EXPECT_THROW(RunLength(10, 8, 100, {{.steps = 5, .sequences = 0}}), InvalidArgument);
  EXPECT_THROW(RunLength(0, 8, 100), InvalidArgument);
}

}  // namespace
}  // namespace hecate::scheduler
