#include "scheduler/hypergradient.h"

#include <gtest/gtest.h>

#include <limits>

namespace hecate::scheduler {
namespace {

constexpr UpdateAlignment kSame{.product = 6, .gradient_squares = 4, .update_squares = 9};
constexpr UpdateAlignment kOpposed{.product = -6, .gradient_squares = 4, .update_squares = 9};

TEST(Hypergradient, GrowsOnAgreementAndShrinksOnOpposition) {
  const HypergradientConfig config{.enabled = true, .strength = 0.1, .bound = 3};
  EXPECT_DOUBLE_EQ(next_rate_factor(config, 1.5, kSame), 1.65);
  EXPECT_DOUBLE_EQ(next_rate_factor(config, 1.5, kOpposed), 1.35);
  EXPECT_DOUBLE_EQ(
      next_rate_factor(config, 1.5, {.product = 0, .gradient_squares = 4, .update_squares = 9}),
      1.5);
}

TEST(Hypergradient, StaysWithinItsBounds) {
  const HypergradientConfig config{.enabled = true, .strength = 0.5, .bound = 2};
  double factor = 1;
  for (int i = 0; i < 10; ++i) factor = next_rate_factor(config, factor, kSame);
  EXPECT_EQ(factor, 2);
  for (int i = 0; i < 10; ++i) factor = next_rate_factor(config, factor, kOpposed);
  EXPECT_EQ(factor, 0.5);
}

TEST(Hypergradient, DoesNotDependOnTheScaleOfTheLoss) {
  const UpdateAlignment scaled{.product = 6e8, .gradient_squares = 4e16, .update_squares = 9};
  EXPECT_DOUBLE_EQ(cosine(scaled), cosine(kSame));
}

TEST(Hypergradient, WithoutAnUpdateOrWithANanNothingMoves) {
  const HypergradientConfig config{.enabled = true};
  EXPECT_EQ(next_rate_factor(config, 1.2, {}), 1.2);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(
      next_rate_factor(config, 1.2, {.product = nan, .gradient_squares = nan, .update_squares = 1}),
      1.2);
}

}  // namespace
}  // namespace hecate::scheduler
