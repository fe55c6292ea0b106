#include "runtime/data/sampler.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "data_fixture.h"
#include "runtime/base/error.h"

namespace hecate::data {
namespace {

TEST(Permutation, IsABijectionForEverySize) {
  for (const uint64_t size : {1, 2, 3, 5, 16, 17, 100, 1000, 4096, 4097}) {
    const Permutation order(size * 77, size);
    std::vector<bool> seen(size);
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t value = order(i);
      ASSERT_LT(value, size);
      ASSERT_FALSE(seen[value]) << "size " << size;
      seen[value] = true;
    }
  }
}

TEST(Permutation, ScattersNeighboursAndDependsOnTheKey) {
  constexpr uint64_t kSize = 10000;
  const Permutation a(1, kSize), b(2, kSize);
  uint64_t fixed = 0, same = 0, adjacent = 0;
  for (uint64_t i = 0; i + 1 < kSize; ++i) {
    fixed += a(i) == i ? 1 : 0;
    same += a(i) == b(i) ? 1 : 0;
    adjacent += a(i) + 1 == a(i + 1) ? 1 : 0;
  }
  // Each is Poisson with mean 1 for a random permutation.
  EXPECT_LE(fixed, 8u);
  EXPECT_LE(same, 8u);
  EXPECT_LE(adjacent, 8u);
}

TEST(WindowSampler, EpochVisitsEveryWindowOnceAtOnePhase) {
  for (const uint64_t tokens : {17, 33, 50, 1000, 12345}) {
    const WindowSampler sampler(tokens, 16, 1.0, 3, 0);
    for (uint64_t epoch = 0; epoch < 3; ++epoch) {
      std::vector<uint64_t> firsts;
      for (uint64_t i = 0; i < sampler.epoch_size(); ++i)
        firsts.push_back(sampler.first(epoch * sampler.epoch_size() + i));
      std::sort(firsts.begin(), firsts.end());
      for (size_t i = 1; i < firsts.size(); ++i) ASSERT_EQ(firsts[i], firsts[i - 1] + 16);
      ASSERT_LT(firsts[0], 32u);
      ASSERT_LT(firsts.back() + 16, tokens);
    }
  }
}

TEST(WindowSampler, EpochLeavesOutLessThanTwoWindows) {
  for (uint64_t tokens = 49; tokens < 200; ++tokens) {
    const WindowSampler sampler(tokens, 16, 1.0, 3, 0);
    EXPECT_LE(tokens - 1 - 16 * sampler.windows(), 31u) << tokens;
  }
}

TEST(WindowSampler, EpochsDifferInOrderAndPhaseAndReachEveryTarget) {
  constexpr uint64_t kTokens = 200;
  const WindowSampler sampler(kTokens, 16, 1.0, 3, 0);
  std::set<uint64_t> phases;
  std::vector<bool> reached(kTokens);
  for (uint64_t epoch = 0; epoch < 200; ++epoch) {
    for (uint64_t i = 0; i < sampler.epoch_size(); ++i) {
      const uint64_t first = sampler.first(epoch * sampler.epoch_size() + i);
      phases.insert(first % 16);
      for (uint64_t p = 1; p <= 16; ++p) reached[first + p] = true;
    }
  }
  EXPECT_EQ(phases.size(), 16u);
  EXPECT_TRUE(std::all_of(reached.begin() + 1, reached.end(), [](bool hit) { return hit; }));
  const WindowSampler long_run(100000, 16, 1.0, 3, 0);
  uint64_t same = 0;
  for (uint64_t i = 0; i < 1000; ++i)
    same += long_run.first(i) / 16 == long_run.first(long_run.epoch_size() + i) / 16 ? 1 : 0;
  EXPECT_LE(same, 8u);
}

TEST(WindowSampler, Rs2VisitsAFreshShareWithoutRepeats) {
  const WindowSampler sampler(16 * 1001 + 1, 16, 0.3, 3, 0);
  ASSERT_EQ(sampler.windows(), 1000u);
  EXPECT_EQ(sampler.epoch_size(), 300u);
  std::vector<std::set<uint64_t>> epochs(4);
  for (size_t epoch = 0; epoch < epochs.size(); ++epoch)
    for (uint64_t i = 0; i < 300; ++i) epochs[epoch].insert(sampler.first(epoch * 300 + i) / 16);
  for (const auto& epoch : epochs) EXPECT_EQ(epoch.size(), 300u);
  std::vector<uint64_t> common;
  std::set_intersection(epochs[0].begin(), epochs[0].end(), epochs[1].begin(), epochs[1].end(),
                        std::back_inserter(common));
  // Hypergeometric: mean 90, standard deviation 6.6.
  EXPECT_NEAR(static_cast<double>(common.size()), 90, 35);
}

TEST(WindowSampler, Rs2OverManyEpochsIsUniform) {
  const WindowSampler sampler(16 * 101 + 1, 16, 0.25, 9, 0);
  std::vector<int> visits(101);
  for (uint64_t i = 0; i < 25 * 2000; ++i) ++visits[sampler.first(i) / 16];
  for (size_t window = 0; window < 100; ++window) EXPECT_NEAR(visits[window], 500, 110) << window;
}

TEST(WindowSampler, DependsOnSeedAndStream) {
  const WindowSampler a(10000, 16, 1.0, 1, 0), b(10000, 16, 1.0, 2, 0), c(10000, 16, 1.0, 1, 1);
  uint64_t same = 0;
  for (uint64_t i = 0; i < 100; ++i)
    same += (a.first(i) == b.first(i) ? 1 : 0) + (a.first(i) == c.first(i) ? 1 : 0);
  EXPECT_LE(same, 8u);
}

TEST(WindowSampler, RefusesSourcesShorterThanASample) {
  EXPECT_EQ(WindowSampler(17, 16, 1.0, 1, 0).first(12345), 0u);
  EXPECT_THAT(error_of<InvalidArgument>([] { WindowSampler(16, 16, 1.0, 1, 0); }),
              ::testing::HasSubstr("16 tokens are shorter than one sequence"));
}

TEST(MixtureSchedule, NumbersEachSourceConsecutively) {
  const std::vector<double> weights = {0.5, 3, 1.7, 0.01};
  const MixtureSchedule schedule(weights, 11);
  std::vector<uint64_t> next(weights.size());
  for (uint64_t i = 0; i < 20000; ++i) {
    const MixtureSchedule::Draw draw = schedule(i);
    ASSERT_EQ(draw.index, next[draw.source]) << i;
    ++next[draw.source];
  }
}

TEST(MixtureSchedule, MeetsTheWeightsAtEveryLength) {
  const std::vector<double> weights = {0.5, 3, 1.7, 0.01};
  const MixtureSchedule schedule(weights, 11);
  std::vector<double> taken(weights.size());
  for (uint64_t i = 0; i < 20000; ++i) {
    taken[schedule(i).source] += 1;
    const auto n = static_cast<double>(i + 1);
    for (size_t s = 0; s < weights.size(); ++s)
      ASSERT_LE(std::abs(taken[s] - n * weights[s] / 5.21), std::log2(n) + 1) << i;
  }
}

TEST(MixtureSchedule, GoesOnAcrossItsBlocks) {
  const std::vector<double> weights = {1, 2};
  const MixtureSchedule schedule(weights, 1);
  const uint64_t block = uint64_t{1} << 32;
  std::vector<uint64_t> before(2), after(2);
  for (uint64_t i = block - 50; i < block; ++i) before[schedule(i).source] = schedule(i).index;
  for (uint64_t i = block + 50; i-- > block;) after[schedule(i).source] = schedule(i).index;
  EXPECT_EQ(after[0], before[0] + 1);
  EXPECT_EQ(after[1], before[1] + 1);
  EXPECT_NEAR(static_cast<double>(after[0]), static_cast<double>(block) / 3, 2);
}

TEST(MixtureSchedule, OneSourceIsTheIdentity) {
  const std::vector<double> weights = {0.2};
  const MixtureSchedule schedule(weights, 5);
  for (const uint64_t i : {uint64_t{0}, uint64_t{77}, (uint64_t{5} << 32) + 123}) {
    EXPECT_EQ(schedule(i).source, 0u);
    EXPECT_EQ(schedule(i).index, i);
  }
}

TEST(MixtureSchedule, RefusesWeightsThatAreNotPositive) {
  for (const double bad : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity()}) {
    const std::vector<double> weights = {1, bad};
    EXPECT_THROW(MixtureSchedule(weights, 1), InvalidArgument) << bad;
  }
  const std::vector<double> tiny = {1, 1e-12};
  EXPECT_THROW(MixtureSchedule(tiny, 1), InvalidArgument);
}

}  // namespace
}  // namespace hecate::data
