#pragma once
#include <span>

namespace hecate::population {

/// Welch's t-test of two samples with means of their own and variances of their own.
struct WelchTest {
  double t = 0;                   ///< positive: the mean of the first is larger
  double degrees_of_freedom = 1;  ///< Welch-Satterthwaite
  double p_value = 1;             ///< two-sided
};

/// Fewer than two values on a side decide nothing: p = 1. Without any variance, p is 0 where the
/// means differ.
WelchTest welch_test(std::span<const double> a, std::span<const double> b);

}  // namespace hecate::population
