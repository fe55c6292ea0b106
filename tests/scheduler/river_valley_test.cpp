#include "benchmarks/schedules/river_valley.h"

#include <gtest/gtest.h>

#include <algorithm>

/// The toy gives the published table (means of 2000 seeds there) to 2 %.
namespace hecate::benchmarks {
namespace {

constexpr int64_t kSeeds = 500;
constexpr double kTolerance = 0.02;

class RiverValleyTest : public testing::Test {
 protected:
  // Trained once for all cases.
  static void SetUpTestSuite() {
    losses_ = train_river_valley(published_courses(), kSteps, kSeeds);
  }

  static ExcessLoss after(const std::string& name, int64_t step) {
    const std::vector<Course> courses = published_courses();
    const auto course =
        std::ranges::find_if(courses, [&](const Course& each) { return each.name == name; });
    const auto place = std::ranges::find(kSteps, step);
    return losses_.at(static_cast<size_t>(course - courses.begin()))
        .at(static_cast<size_t>(place - kSteps.begin()));
  }

  static void expect(double found, double published) {
    EXPECT_NEAR(found, published, kTolerance * published);
  }

  static inline const std::vector<int64_t> kSteps = {500, 950, 1000, 1855, 2000};
  static inline std::vector<std::vector<ExcessLoss>> losses_;
};

TEST_F(RiverValleyTest, GivesThePublishedTable) {
  expect(after("constant", 2000).deterministic, 0.00951);
  expect(after("constant", 2000).uncertain, 0.02696);
  expect(after("wsd 2000", 2000).deterministic, 0.01031);
  expect(after("wsd 2000", 2000).uncertain, 0.01822);
  expect(after("wsd_s", 500).mean(), 0.04216);
  expect(after("wsd_s", 1000).mean(), 0.02386);
  expect(after("wsd_s", 2000).mean(), 0.01467);
  expect(after("wsd 500", 500).mean(), 0.04216);
  expect(after("wsd 950", 950).mean(), 0.02413);
  expect(after("wsd 1855", 1855).mean(), 0.01484);
  expect(after("cyclic cosine", 500).mean(), 0.06619);
  expect(after("cyclic cosine", 1000).mean(), 0.03074);
  expect(after("cyclic cosine", 2000).mean(), 0.01501);
}

}  // namespace
}  // namespace hecate::benchmarks
