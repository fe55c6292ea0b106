#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

#include "tests/launcher/train/random_placements.h"

/// Wherever experts are owned and copied, gradients are those of one process.
namespace hecate::launcher {
namespace {

constexpr bool kDouble = sizeof(Real) == 8;
constexpr double kTolerance = kDouble ? 1e-10 : 1e-5;
constexpr int64_t kSteps = 3;
// Adam's update is nearly linear in the gradient with a large epsilon: rounding stays what it is,
// while a copy that missed an update, or moments that went astray, show.
constexpr double kRate = 0.1;
const std::vector<std::string> kSmall = {"model.d_model=16", "model.expert_hidden=16",
                                         "model.sequence=8", "optimizer.eps=1"};

constexpr uint64_t kPlans = 500, kPlansInPart = 25;
constexpr uint64_t kPartsAlways = 4;

uint64_t parts() {
  return std::getenv("HECATE_TEST_FULL") != nullptr ? kPlans / kPlansInPart : kPartsAlways;
}

/// Each test takes a part of the plans; runs of one process are kept.
class PlacementsTest : public testing::TestWithParam<uint64_t> {
 protected:
  RankResult many(const RandomRun& random) const {
    RankCase test = random.test;
    test.settings.insert(test.settings.end(), kSmall.begin(), kSmall.end());
    return run_ranks(case_config(run_, test, test.ranks),
                     {.ranks = test.ranks,
                      .ranks_per_node = test.ranks_per_node,
                      .steps = kSteps,
                      .rate = kRate,
                      .adjust = [&](EngineOptions& options) {
                        options.sharded.factory = [&](const std::string&,
                                                      sharding::StrategyInputs inputs) {
                          return std::make_unique<RandomPlacements>(std::move(inputs), random.seed,
                                                                    random.release);
                        };
                      }});
  }
  const RankResult& one(const RandomRun& random) {
    const auto [found, is_new] = ones_.try_emplace({random.test.batch, random.model});
    if (!is_new) return found->second;
    RankCase test{.name = "one", .batch = random.test.batch, .settings = random.model};
    test.settings.insert(test.settings.end(), kSmall.begin(), kSmall.end());
    found->second = run_ranks(case_config(run_, test, 1), {.steps = kSteps, .rate = kRate});
    return found->second;
  }

 private:
  TinyRun run_;
  std::map<std::pair<int64_t, std::vector<std::string>>, RankResult> ones_;
};

void expect_equal(const RankResult& many, const RankResult& one) {
  ASSERT_EQ(many.losses.size(), one.losses.size());
  for (size_t i = 0; i < one.losses.size(); ++i)
    EXPECT_NEAR(many.losses[i], one.losses[i], kTolerance * std::abs(one.losses[i])) << i;
  for (size_t id = 0; id < one.gradients.size(); ++id) {
    EXPECT_LT(relative_difference(many.gradients[id], one.gradients[id]), kTolerance)
        << "gradient " << id;
    EXPECT_LT(relative_difference(many.parameters[id], one.parameters[id]), kTolerance)
        << "parameter " << id;
    EXPECT_EQ(std::ranges::count(many.copies[id], 1), std::ssize(many.copies[id])) << id;
  }
}

TEST_P(PlacementsTest, TrainAsOneProcess) {
  for (uint64_t i = 0; i < kPlansInPart; ++i) {
    const RandomRun random(GetParam() * kPlansInPart + i);
    SCOPED_TRACE(random.test.name);
    ASSERT_NO_FATAL_FAILURE(expect_equal(many(random), one(random)));
  }
}

INSTANTIATE_TEST_SUITE_P(Random, PlacementsTest, testing::Range(uint64_t{0}, parts()));

// The draws reach what the test is for.
TEST(RandomPlacements, CoverEveryCorner) {
  std::map<std::string, int> seen;
  for (uint64_t seed = 0; seed < kPlans; ++seed) {
    const RandomRun random(seed);
    const int ranks = random.test.ranks, experts = random.experts;
    const sharding::LoadShape shape{.layers = random.layers, .sources = ranks, .experts = experts};
    RandomPlacements placements({.layers = random.layers,
                                 .experts = experts,
                                 .node_of = std::vector<int>(static_cast<size_t>(ranks))},
                                seed, random.release);
    const sharding::Ownership owners = placements.initial_owners();
    const auto plan = placements.plan_step(owners, sharding::LoadTracker(shape, 1, "last"));
    ++seen[concat("ranks ", ranks)];
    seen["one expert"] += experts == 1;
    seen["more ranks than experts"] += ranks > experts;
    seen["uneven"] += experts % ranks != 0;
    for (int d = 0; d < ranks; ++d) {
      seen["owner of nothing"] += std::ranges::count(owners.all(), d) == 0;
      for (int l = 0; l < owners.layers(); ++l)
        seen["owner of a whole layer"] +=
            experts > 1 && std::ranges::count(owners.layer(l), d) == experts;
    }
    for (const collectives::Placement& layer : plan) {
      const auto holders = [&](int e) { return std::ssize(layer.holders(e)); };
      for (int e = 0; e < experts; ++e) {
        seen["expert alone"] += holders(e) == 1;
        seen["expert on some ranks"] += holders(e) > 1 && holders(e) < ranks;
        seen["expert everywhere"] += holders(e) == ranks;
      }
    }
  }
  EXPECT_EQ(seen.size(), 15u);
  for (const auto& [what, count] : seen) EXPECT_GE(count, 20) << what;
}

}  // namespace
}  // namespace hecate::launcher
