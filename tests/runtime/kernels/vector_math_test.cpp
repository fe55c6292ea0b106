#include <numbers>

#include "runtime/kernels/cpu/isa.h"
#include "tests/runtime/kernels/support.h"
#include "tests/runtime/kernels/vector_math_probe.h"

namespace hecate::kernels::cpu {
namespace {

using namespace hecate::testing;  // NOLINT: the vocabulary of these tests

std::vector<Real> apply(Function function, const std::vector<Real>& x) {
  std::vector<Real> y(x.size(), kNan);
  HECATE_ISA_CALL(probe, function, static_cast<int64_t>(x.size()), x.data(), y.data());
  return y;
}

double exact(Function function, double x) {
  switch (function) {
    case Function::exp:
    case Function::exp_softmax:
      return std::exp(x);
    case Function::tanh:
      return std::tanh(x);
    case Function::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Function::erf:
      return std::erf(x);
  }
  return 0;
}

std::vector<Real> sweep(double low, double high, int64_t count) {
  std::vector<Real> x;
  for (int64_t i = 0; i < count; ++i)
    x.push_back(static_cast<Real>(low + (high - low) * static_cast<double>(i) /
                                            static_cast<double>(count - 1)));
  return x;
}

constexpr double kUlp = static_cast<double>(std::numeric_limits<Real>::epsilon());

// Largest relative error in units of the last place.
double worst_ulps(Function function, double low, double high) {
  const std::vector<Real> x = sweep(low, high, 200001), y = apply(function, x);
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = exact(function, static_cast<double>(x[i]));
    if (want == 0) continue;
    worst = std::max(worst, std::abs(static_cast<double>(y[i]) - want) / std::abs(want) / kUlp);
  }
  return worst;
}

double worst_error(Function function, double low, double high) {
  const std::vector<Real> x = sweep(low, high, 200001), y = apply(function, x);
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i)
    worst = std::max(
        worst, std::abs(static_cast<double>(y[i]) - exact(function, static_cast<double>(x[i]))));
  return worst;
}

TEST(VectorMath, ExpIsGoodToTwoUlps) {
  EXPECT_LE(worst_ulps(Function::exp, -87, 88.7), 2);
  EXPECT_LE(worst_ulps(Function::exp, -1, 1), 2);
}

TEST(VectorMath, SoftmaxExpIsGoodToTwoUlpsDownToTheSmallestNormal) {
  EXPECT_LE(worst_ulps(Function::exp_softmax, -87.3, 88), 2);
  EXPECT_LE(worst_ulps(Function::exp_softmax, -1, 0), 2);
  const std::vector<Real> y =
      apply(Function::exp_softmax, {-kInfinity, Real(-1e30), Real(-100), kNan, 0});
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_GE(y[i], 0);
    EXPECT_LE(static_cast<double>(y[i]), 1.2e-38 + std::exp(-100.0));
  }
  EXPECT_TRUE(std::isnan(y[3]));
  EXPECT_EQ(y[4], 1);
}

TEST(VectorMath, TanhIsGoodToFourUlps) {
  EXPECT_LE(worst_ulps(Function::tanh, -10, 10), 4);
  EXPECT_LE(worst_ulps(Function::tanh, 1e-6, 0.01), 4);
}

TEST(VectorMath, SigmoidIsGoodToFourUlps) {
  EXPECT_LE(worst_ulps(Function::sigmoid, -80, 80), 4);
}

TEST(VectorMath, ErfIsAccurate) {
  EXPECT_LE(worst_error(Function::erf, -6, 6), kIsDouble ? 1e-15 : 5e-7);
}

TEST(VectorMath, InfinitiesOverflowAndNan) {
  const std::vector<Real> x = {kInfinity, -kInfinity, kNan, Real(1e30), Real(-1e30), 0};
  const Real big = std::numeric_limits<Real>::max();
  const std::vector<Real> exp = apply(Function::exp, x);
  EXPECT_EQ(exp[0], kInfinity);
  EXPECT_EQ(exp[1], 0);
  EXPECT_TRUE(std::isnan(exp[2]));
  EXPECT_EQ(exp[3], kInfinity);
  EXPECT_EQ(exp[4], 0);
  EXPECT_EQ(exp[5], 1);
  EXPECT_TRUE(std::isfinite(apply(Function::exp, {std::log(big) - Real(1e-4)})[0]));
  for (const Function f : {Function::tanh, Function::erf}) {
    const std::vector<Real> y = apply(f, x);
    EXPECT_EQ(y[0], 1);
    EXPECT_EQ(y[1], -1);
    EXPECT_TRUE(std::isnan(y[2]));
    EXPECT_EQ(y[3], 1);
    EXPECT_EQ(y[4], -1);
    EXPECT_EQ(y[5], 0);
  }
  const std::vector<Real> sigmoid = apply(Function::sigmoid, x);
  EXPECT_EQ(sigmoid[0], 1);
  EXPECT_EQ(sigmoid[1], 0);
  EXPECT_TRUE(std::isnan(sigmoid[2]));
  EXPECT_EQ(sigmoid[3], 1);
  EXPECT_EQ(sigmoid[4], 0);
  EXPECT_EQ(sigmoid[5], Real(0.5));
}

TEST(VectorMath, ExpUnderflowsGradually) {
  const double least = static_cast<double>(std::numeric_limits<Real>::denorm_min());
  const double smallest = static_cast<double>(std::numeric_limits<Real>::min());
  for (const Real x : sweep(std::log(least) + 1, std::log(smallest) + 1, 101))
    EXPECT_NEAR(static_cast<double>(apply(Function::exp, {x})[0]), std::exp(static_cast<double>(x)),
                2 * least + 2 * kUlp * std::exp(static_cast<double>(x)));
}

}  // namespace
}  // namespace hecate::kernels::cpu
