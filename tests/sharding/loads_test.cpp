#include "sharding/loads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "runtime/base/error.h"
#include "runtime/base/rng.h"

namespace hecate::sharding {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr LoadShape kShape{.layers = 2, .sources = 3, .experts = 4};

StepLoads random_step(const LoadShape& shape, uint64_t seed) {
  const CounterRng rng(seed, stream_of("loads"));
  StepLoads step(shape);
  for (size_t i = 0; i < step.counts.size(); ++i)
    step.counts[i] = static_cast<int64_t>(rng.below(i, 1000));
  return step;
}

std::vector<double> all_forecasts(const LoadTracker& tracker) {
  std::vector<double> result;
  for (int l = 0; l < tracker.shape().layers; ++l) {
    const auto layer = tracker.forecast_by_source(l);
    result.insert(result.end(), layer.begin(), layer.end());
  }
  return result;
}

TEST(LoadTrackerTest, AllExpertsAreEqualBeforeTheFirstStep) {
  const LoadTracker tracker(kShape);
  EXPECT_THAT(tracker.forecast(1), ElementsAre(1, 1, 1, 1));
  EXPECT_THAT(tracker.forecast_by_source(1), Each(1.0));
}

TEST(LoadTrackerTest, MeanIsTheExactSumOverTheWindow) {
  LoadTracker tracker(kShape, 3);
  for (uint64_t step = 0; step < 10; ++step) {
    tracker.record(random_step(kShape, step));
    std::vector<double> expected(kShape.size());
    for (uint64_t s = step < 2 ? 0 : step - 2; s <= step; ++s) {
      const StepLoads past = random_step(kShape, s);
      for (size_t i = 0; i < expected.size(); ++i)
        expected[i] += static_cast<double>(past.counts[i]);
    }
    EXPECT_EQ(all_forecasts(tracker), expected) << "step " << step;
  }
  EXPECT_EQ(tracker.recorded(), 10);
  EXPECT_EQ(tracker.history().size(), 3u);
  EXPECT_EQ(tracker.history().back().counts, random_step(kShape, 9).counts);
}

TEST(LoadTrackerTest, LastForgetsAllButTheNewestStep) {
  LoadTracker tracker(kShape, 5, "last");
  tracker.record(random_step(kShape, 1));
  const StepLoads newest = random_step(kShape, 2);
  tracker.record(newest);
  EXPECT_EQ(all_forecasts(tracker),
            std::vector<double>(newest.counts.begin(), newest.counts.end()));
}

TEST(LoadTrackerTest, MovingAverageStartsFromTheFirstStep) {
  LoadTracker tracker({1, 1, 2}, 2, "ema:0.25");
  StepLoads step({1, 1, 2});
  step.counts = {8, 100};
  tracker.record(step);
  EXPECT_THAT(tracker.forecast(0), ElementsAre(8, 100));
  step.counts = {16, 0};
  tracker.record(step);
  EXPECT_THAT(tracker.forecast(0), ElementsAre(10, 75));
}

TEST(LoadTrackerTest, ALayersForecastSumsItsSources) {
  LoadTracker tracker(kShape);
  StepLoads step(kShape);
  std::iota(step.layer(1).begin(), step.layer(1).end(), 1);  // 1 2 3 4 / 5 6 7 8 / 9 10 11 12
  tracker.record(step);
  EXPECT_THAT(tracker.forecast(0), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(tracker.forecast(1), ElementsAre(15, 18, 21, 24));
  EXPECT_EQ(tracker.forecast_by_source(1)[6], 7);
}

class RestoredTrackerTest : public testing::TestWithParam<const char*> {};

TEST_P(RestoredTrackerTest, GoesOnBitForBit) {
  for (uint64_t saved_after : {0, 1, 3, 9}) {
    LoadTracker whole(kShape, 3, GetParam()), restored(kShape, 3, GetParam());
    for (uint64_t step = 0; step < saved_after; ++step) whole.record(random_step(kShape, step));
    restored.restore(whole.serialise());
    EXPECT_EQ(restored.recorded(), whole.recorded());
    for (uint64_t step = saved_after; step < saved_after + 5; ++step) {
      EXPECT_EQ(all_forecasts(restored), all_forecasts(whole));
      whole.record(random_step(kShape, step));
      restored.record(random_step(kShape, step));
    }
    EXPECT_EQ(restored.serialise(), whole.serialise());
  }
}

TEST_P(RestoredTrackerTest, KeepsTotalsOverAnotherNumberOfSources) {
  LoadTracker three(kShape, 3, GetParam());
  for (uint64_t step = 0; step < 5; ++step) three.record(random_step(kShape, step));
  LoadShape shape = kShape;
  for (int sources : {1, 2, 5}) {
    shape.sources = sources;
    LoadTracker other(shape, 3, GetParam());
    other.restore(three.serialise());
    for (int l = 0; l < kShape.layers; ++l)
      for (size_t e = 0; e < 4; ++e)
        EXPECT_NEAR(other.forecast(l)[e], three.forecast(l)[e], 1e-9) << sources << " sources";
    // The window moves on over the spread history.
    for (uint64_t step = 0; step < 3; ++step) other.record(random_step(shape, step));
    for (double load : all_forecasts(other)) EXPECT_GE(load, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Forecasters, RestoredTrackerTest,
                         testing::Values("mean", "last", "ema:0.3"), [](const auto& test) {
                           const std::string name = test.param;
                           return name.substr(0, name.find(':'));
                         });

TEST(LoadTrackerTest, RefusesAnotherHistory) {
  LoadTracker tracker(kShape, 5);
  tracker.record(random_step(kShape, 0));
  const auto before = tracker.serialise();
  EXPECT_THAT(
      [&] {
        tracker.restore(LoadTracker({2, 3, 8}, 5).serialise());
      },
      ThrowsMessage<InvalidArgument>(HasSubstr("2 layers, 8 experts, window 5")));
  EXPECT_THROW(tracker.restore(LoadTracker(kShape, 4).serialise()), InvalidArgument);
  EXPECT_THROW(tracker.restore(std::vector<int64_t>{}), InvalidArgument);
  auto torn = before;
  torn.pop_back();
  EXPECT_THROW(tracker.restore(torn), InvalidArgument);
  EXPECT_EQ(tracker.serialise(), before);
}

TEST(LoadTrackerTest, RefusesOtherShapesAndNegativeCounts) {
  LoadTracker tracker(kShape);
  EXPECT_THROW(tracker.record(StepLoads({2, 4, 4})), InvalidArgument);
  StepLoads step(kShape);
  step.counts[3] = -1;
  EXPECT_THROW(tracker.record(step), InvalidArgument);
  EXPECT_THROW(tracker.forecast(2), InvalidArgument);
  EXPECT_THROW(LoadTracker({0, 1, 1}), InvalidArgument);
  EXPECT_THROW(LoadTracker(kShape, 0), InvalidArgument);
}

TEST(LoadTrackerTest, NamesTheKnownForecasters) {
  EXPECT_THAT([] { LoadTracker(kShape, 5, "median"); },
              ThrowsMessage<InvalidArgument>(AllOf(HasSubstr("median"), HasSubstr("mean, last"))));
  for (const char* name : {"ema:", "ema:0", "ema:1.5", "ema:0.5x"})
    EXPECT_THROW(LoadTracker(kShape, 5, name), InvalidArgument) << name;
}

}  // namespace
}  // namespace hecate::sharding
