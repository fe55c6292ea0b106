#include "runtime/base/rng.h"

#include <gtest/gtest.h>

namespace hecate {
namespace {

TEST(CounterRng, DrawDependsOnSeedStreamAndIndexAlone) {
  const CounterRng a(1, 2), b(1, 2);
  for (uint64_t i : {0ull, 1ull, 77ull, 1ull << 40}) EXPECT_EQ(a.bits(i), b.bits(i));
  EXPECT_NE(CounterRng(1, 2).bits(5), CounterRng(2, 2).bits(5));
  EXPECT_NE(CounterRng(1, 2).bits(5), CounterRng(1, 3).bits(5));
  EXPECT_NE(a.bits(5), a.bits(6));
}

TEST(CounterRng, MatchesThePublishedPhiloxVectorForZeroInput) {
  // Random123 known-answer test: philox4x32-10, counter 0, key 0.
  EXPECT_EQ(CounterRng(0, 0).bits(0), 0xe169c58d'6627e8d5ull);
}

TEST(CounterRng, NormalHasUnitMoments) {
  const CounterRng rng(7, 11);
  double sum = 0, squares = 0;
  constexpr int kDraws = 200000;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double x = rng.normal(i);
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0.0, 0.01);
  EXPECT_NEAR(squares / kDraws, 1.0, 0.02);
}

TEST(CounterRng, BelowStaysInRangeAndReachesEveryValue) {
  const CounterRng rng(3, 4);
  bool seen[7] = {};
  for (uint64_t i = 0; i < 500; ++i) {
    const uint64_t value = rng.below(i, 7);
    ASSERT_LT(value, 7u);
    seen[value] = true;
  }
  for (bool hit : seen) EXPECT_TRUE(hit);
}

}  // namespace
}  // namespace hecate
