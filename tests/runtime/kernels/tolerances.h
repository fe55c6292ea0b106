#pragma once
#include "runtime/base/real.h"

/// Tolerances of the kernel tests, per type of Real, in one place.
namespace hecate::testing {

inline constexpr bool kIsDouble = sizeof(Real) == sizeof(double);

/// One rounding chain per element: |got - want| <= kElement * max(1, |want|).
inline constexpr double kElement = kIsDouble ? 1e-14 : 2e-6;
/// A sum of products: |got - want| <= kSum * (sum of the magnitudes of its terms).
inline constexpr double kSum = kIsDouble ? 1e-14 : 2e-6;
/// Chains of sums (a softmax behind a product, a norm, an attention row), values of order one.
inline constexpr double kChain = kIsDouble ? 1e-12 : 2e-5;
/// Central differences of a double-precision reference with step 1e-5: |got - want|, relative to
/// max(1, |want|).
inline constexpr double kDifference = kIsDouble ? 1e-8 : 5e-5;
inline constexpr double kDifferenceStep = 1e-5;

}  // namespace hecate::testing
