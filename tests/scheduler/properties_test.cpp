#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/error.h"
#include "scheduler/decay.h"
#include "scheduler/factory.h"

/// What holds for every schedule, over many settings; the numbers themselves are in
/// lr_schedules.json.
namespace hecate::scheduler {
namespace {

using ::testing::HasSubstr;

constexpr double kTotal = 1000;

ScheduleParameters parameters() {
  ScheduleParameters made;
  made.unit = "tokens";
  made.peak = 0.02;
  made.floor_ratio = 0.1;
  made.warmup = 50;
  made.total = kTotal;
  made.decay = 100;
  made.half_life = 20;
  made.end_points = {300, 600, kTotal};
  made.a = 0.3;
  made.b = -0.51;
  made.batches = {{.from = 0, .tokens = 4096}};
  return made;
}

struct Case {
  std::string kind;
  ScheduleParameters parameters;
  std::vector<double> jumps;  // where the paper's rate is not continuous
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::string& kind : schedule_kinds())
    for (const double warmup : {50.0, 0.5})
      for (const std::string& shape : Decay::names()) {
        if (kind == "wsd_s" && shape == "half") continue;
        Case made{kind, parameters(), {}};
        made.parameters.warmup = warmup;
        made.parameters.decay_shape = shape;
        if (kind == "wsdc") made.parameters.tail = 70;
        if (kind == "wsd_s" || kind == "cyclic_cosine") made.jumps = {300, 600};
        all.push_back(made);
        const bool shaped = kind == "wsd" || kind == "wsdc" || kind == "wsd_s" || kind == "power";
        if (!shaped) break;
      }
  Case granite{"power", parameters(), {50}};
  granite.parameters.variant = "granite";
  granite.parameters.a = 0.05;  // below the peak when the warm-up is over
  all.push_back(granite);
  return all;
}

std::string name_of(const Case& each) {
  return each.kind + " " + each.parameters.decay_shape + " " + each.parameters.variant + " " +
         std::to_string(each.parameters.warmup);
}

TEST(SchedulePropertiesTest, RatesLieBetweenZeroAndThePeak) {
  for (const Case& each : cases()) {
    const auto schedule = make_schedule(each.kind, each.parameters);
    for (double x = 0; x <= 3 * kTotal; x += 0.25) {
      for (const double rate : {schedule->rate(x), schedule->rate_before(x)}) {
        ASSERT_GE(rate, 0) << name_of(each) << " at " << x;
        ASSERT_LE(rate, each.parameters.peak * (1 + 1e-12)) << name_of(each) << " at " << x;
      }
    }
    EXPECT_EQ(schedule->rate(0), 0) << name_of(each);
  }
}

TEST(SchedulePropertiesTest, PastTheEndRatesDoNotRise) {
  for (const Case& each : cases()) {
    const auto schedule = make_schedule(each.kind, each.parameters);
    double before = schedule->rate(kTotal);
    EXPECT_LE(schedule->rate_before(kTotal), before * (1 + 1e-12)) << name_of(each);
    for (double x = kTotal; x < 1e12; x *= 1.7) {
      ASSERT_LE(schedule->rate(x), before) << name_of(each) << " at " << x;
      before = schedule->rate(x);
    }
  }
}

// The largest step over a fine grid shrinks with it wherever the rate is continuous.
TEST(SchedulePropertiesTest, ContinuousWhereThePapersAre) {
  constexpr double kStep = 1e-6;
  for (const Case& each : cases()) {
    const auto schedule = make_schedule(each.kind, each.parameters);
    std::vector<double> places = {
        each.parameters.warmup, 200, 270, 300, 540, 600, 900, 930, 950, kTotal};
    for (double x = 1; x < kTotal; x += 13) places.push_back(x);
    for (const double x : places) {
      const bool jumps = std::ranges::count(each.jumps, x) > 0;
      const double gap = std::abs(schedule->rate(x + kStep) - schedule->rate(x - kStep));
      // one_minus_sqrt leaves the peak vertically: its gap is that of a square root.
      const double allowed = 0.02 * 4 * std::sqrt(kStep / 30);
      if (jumps)
        EXPECT_GT(gap, 0.2 * schedule->rate_before(x)) << name_of(each) << " at " << x;
      else
        EXPECT_LT(gap, allowed) << name_of(each) << " at " << x;
      EXPECT_NEAR(schedule->rate_before(x), schedule->rate(x - kStep), allowed)
          << name_of(each) << " at " << x;
    }
  }
}

TEST(SchedulePropertiesTest, AnUpdateAcrossAnEndPointHasTheDecaysEnd) {
  const auto schedule = make_schedule("wsd_s", [] {
    ScheduleParameters made = parameters();
    made.decay_shape = "inverse";
    return made;
  }());
  EXPECT_DOUBLE_EQ(rate_of_update(*schedule, 296, 303), 0.002);
  EXPECT_DOUBLE_EQ(rate_of_update(*schedule, 293, 300), 0.002);
  EXPECT_DOUBLE_EQ(rate_of_update(*schedule, 300, 307), 0.02);
  EXPECT_EQ(end_point_in(*schedule, 293, 300), 300);
  EXPECT_EQ(end_point_in(*schedule, 300, 307), std::nullopt);
}

// One setting is right for every batch: the rate is proportional to it while the law holds, and
// only the tokens seen matter, not the run's length.
TEST(SchedulePropertiesTest, PowerFollowsTheBatchAndForgetsTheBudget) {
  ScheduleParameters made = parameters();
  made.peak = 10;
  const auto one = make_schedule("power", made);
  made.batches = {{.from = 0, .tokens = 4096}, {.from = 400, .tokens = 3 * 4096}};
  const auto ramp = make_schedule("power", made);
  made.batches.pop_back();
  made.total = 5000;
  const auto longer = make_schedule("power", made);
  EXPECT_DOUBLE_EQ(ramp->rate(399), one->rate(399));
  EXPECT_DOUBLE_EQ(ramp->rate_before(400), one->rate(400));
  EXPECT_DOUBLE_EQ(ramp->rate(400), 3 * one->rate(400));
  EXPECT_DOUBLE_EQ(ramp->rate(950), 3 * one->rate(950));
  EXPECT_DOUBLE_EQ(longer->rate(700), one->rate(700));
}

std::string refusal(const std::string& kind,
                    const std::function<void(ScheduleParameters&)>& change) {
  ScheduleParameters made = parameters();
  change(made);
  try {
    make_schedule(kind, made);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(SchedulePropertiesTest, ImpossibleParametersAreRefused) {
  using P = ScheduleParameters;
  const auto says = [](const std::string& kind, const std::function<void(P&)>& change,
                       const std::string& text) {
    EXPECT_THAT(refusal(kind, change), HasSubstr(text)) << kind;
  };
  says(
      "wsd", [](P& p) { p.decay = 2000; },
      "schedule.decay of 2000 tokens is longer than the run of 1000 tokens");
  says(
      "wsdc", [](P& p) { p.tail = 950; }, "are longer than the run");
  says(
      "wsd", [](P& p) { p.warmup = 950; },
      "schedule.warmup of 950 tokens goes beyond the start of schedule.decay at 900 tokens");
  says(
      "power", [](P& p) { p.warmup = 950; }, "beyond the start of schedule.decay");
  says(
      "wsd_s", [](P& p) { p.warmup = 280; }, "beyond the start of schedule.decay at 270");
  says(
      "cosine", [](P& p) { p.warmup = 1001; }, "the run has 1000 tokens");
  says(
      "wsd_s",
      [](P& p) {
        p.end_points = {600, 300};
      },
      "schedule.end_points: 300 tokens after 600 tokens: expected rising points");
  says(
      "cyclic_cosine",
      [](P& p) {
        p.end_points = {0, 300};
      },
      "expected rising points above 0");
  says(
      "wsd_s",
      [](P& p) {
        p.end_points = {300, 1001};
      },
      "lies beyond the run's end at 1000");
  says(
      "wsd_s",
      [](P& p) {
        p.end_points = {980, 1000};
      },
      "longer than the cycle from 980");
  says(
      "wsd_s", [](P& p) { p.end_points.clear(); }, "expected at least one");
  says(
      "wsd_s", [](P& p) { p.decay_of = "cicle"; }, "(known: cumulative, cycle); nearest: cycle");
  says(
      "constant", [](P& p) { p.peak = -1; }, "schedule.rate = -1");
  says(
      "constant", [](P& p) { p.warmup = -1; }, "schedule.warmup = -1");
  says(
      "wsd", [](P& p) { p.decay = -5; }, "schedule.decay = -5");
  says(
      "wsd", [](P& p) { p.peak = NAN; }, "schedule.rate = nan");
  says(
      "wsd", [](P& p) { p.floor_ratio = -0.1; }, "schedule.floor_ratio = -0.1");
  says(
      "wsd", [](P& p) { p.decay_shape = "inverse", p.floor_ratio = 0; }, "a floor above 0");
  says(
      "wsd", [](P& p) { p.decay_shape = "half", p.half_life = 0; }, "needs schedule.half_life");
  says(
      "wsd_s", [](P& p) { p.decay_shape = "half"; }, "whose decays differ in length");
  says(
      "wsd", [](P& p) { p.decay_shape = "cosin"; }, "nearest: cosine");
  says(
      "power", [](P& p) { p.batches.clear(); }, "needs the tokens per batch");
  says(
      "power",
      [](P& p) {
        p.batches = {{0, 0}};
      },
      "needs tokens per batch above 0");
  says(
      "power", [](P& p) { p.a = 0; }, "schedule.power.a = 0");
  says(
      "power", [](P& p) { p.variant = "granit"; }, "nearest: granite");
  says(
      "inverse_sqrt", [](P& p) { p.warmup = 0; }, "falls from the end of schedule.warmup");
  says(
      "wsd-s", [](P&) {}, "(known: constant, linear, cosine, inverse_sqrt, cyclic_cosine, wsd, ");
  says(
      "wsd-s", [](P&) {}, "nearest: wsd_s");
}

}  // namespace
}  // namespace hecate::scheduler
