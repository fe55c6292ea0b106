#include "runtime/kernels/activation.h"

#include <numbers>

#include "tests/runtime/kernels/support.h"

namespace hecate::kernels {
namespace {

using namespace hecate::testing;  // NOLINT: the vocabulary of these tests

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

double formula(Activation kind, double x) {
  switch (kind) {
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::gelu_tanh:
      return 0.5 * x *
             (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::squared_relu:
      return x > 0 ? x * x : 0;
    case Activation::silu:
      return x * sigmoid(x);
  }
  return 0;
}

class ActivationTest : public ::testing::TestWithParam<Activation> {};

TEST_P(ActivationTest, MatchesDoublePrecisionFormula) {
  Device device;
  const Matrix x = Matrix::normal(7, 133, 1, 3, 5);
  Matrix y(7, 133, 2);
  activation(device.stream, GetParam(), x.cview(), y.view());
  Reference want(7, 133);
  for (int64_t t = 0; t < 7; ++t)
    for (int64_t f = 0; f < 133; ++f) want(t, f) = formula(GetParam(), x.at(t, f));
  expect_near(y, want, kElement);
}

TEST_P(ActivationTest, BackwardMatchesCentralDifferences) {
  Device device;
  const Matrix x = Matrix::normal(5, 37, 1, 2, 1), dy = Matrix::normal(5, 37, 2);
  Matrix dx(5, 37, 3);
  activation_backward(device.stream, GetParam(), x.cview(), dy.cview(), dx.view());
  Reference want(5, 37);
  for (int64_t t = 0; t < 5; ++t)
    for (int64_t f = 0; f < 37; ++f) {
      const double h = kDifferenceStep, at = x.at(t, f);
      want(t, f) =
          dy.at(t, f) * (formula(GetParam(), at + h) - formula(GetParam(), at - h)) / (2 * h);
    }
  expect_near(dx, want, kDifference);
}

TEST_P(ActivationTest, LargeArgumentsAndNan) {
  Device device;
  const Real big = 2000;
  Matrix x(1, 4), y(1, 4), dx(1, 4), dy = Matrix::constant(1, 4, 1);
  x(0, 0) = big;
  x(0, 1) = -big;
  x(0, 2) = 0;
  x(0, 3) = kNan;
  activation(device.stream, GetParam(), x.cview(), y.view());
  activation_backward(device.stream, GetParam(), x.cview(), dy.cview(), dx.view());
  const bool square = GetParam() == Activation::squared_relu;
  EXPECT_EQ(y.at(0, 0), square ? 4e6 : 2000);
  EXPECT_EQ(y.at(0, 1), 0);
  EXPECT_EQ(y.at(0, 2), 0);
  EXPECT_TRUE(std::isnan(y.at(0, 3))) << "a NaN must stay visible";
  EXPECT_EQ(dx.at(0, 0), square ? 4000 : 1);
  EXPECT_EQ(dx.at(0, 1), 0);
  EXPECT_TRUE(std::isnan(dx.at(0, 3)));
}

TEST_P(ActivationTest, OutputsMayAliasInputs) {
  Device device;
  const Matrix x = Matrix::normal(9, 41, 1), dy = Matrix::normal(9, 41, 2);
  Matrix y(9, 41), dx(9, 41), in_place = x, over_x = x, over_dy = dy;
  activation(device.stream, GetParam(), x.cview(), y.view());
  activation(device.stream, GetParam(), in_place.cview(), in_place.view());
  EXPECT_TRUE(in_place.same_bits(y));
  activation_backward(device.stream, GetParam(), x.cview(), dy.cview(), dx.view());
  activation_backward(device.stream, GetParam(), over_x.cview(), dy.cview(), over_x.view());
  activation_backward(device.stream, GetParam(), x.cview(), over_dy.cview(), over_dy.view());
  EXPECT_TRUE(over_x.same_bits(dx));
  EXPECT_TRUE(over_dy.same_bits(dx));
}

TEST_P(ActivationTest, ThreadCountDoesNotChangeBits) {
  const Matrix x = Matrix::normal(101, 333, 1);
  expect_same_bits_for_thread_counts([&](Stream& s) {
    Matrix y(101, 333);
    activation(s, GetParam(), x.cview(), y.view());
    return y;
  });
}

INSTANTIATE_TEST_SUITE_P(Kinds, ActivationTest,
                         ::testing::Values(Activation::gelu, Activation::gelu_tanh,
                                           Activation::squared_relu, Activation::silu),
                         [](const auto& each) {
                           switch (each.param) {
                             case Activation::gelu:
                               return "gelu";
                             case Activation::gelu_tanh:
                               return "gelu_tanh";
                             case Activation::squared_relu:
                               return "squared_relu";
                             case Activation::silu:
                               return "silu";
                           }
                           return "?";
                         });

// Gate and up as the halves of one buffer.
struct Halves {
  explicit Halves(Matrix values) : both(std::move(values)), width(both.cols() / 2) {}
  View<Real> part(int64_t index) {
    return {both.data() + index * width, {both.rows(), width}, 2 * width};
  }
  Matrix both;
  int64_t width;
};

TEST(Swiglu, MatchesDoublePrecisionOnHalvesOfOneBuffer) {
  Device device;
  Halves in(Matrix::normal(7, 66, 1, 2));
  Matrix out(7, 33, 1);
  swiglu(device.stream, in.part(0), in.part(1), out.view());
  Reference want(7, 33);
  for (int64_t t = 0; t < 7; ++t)
    for (int64_t f = 0; f < 33; ++f)
      want(t, f) = in.both.at(t, f) * sigmoid(in.both.at(t, f)) * in.both.at(t, 33 + f);
  expect_near(out, want, kElement);
}

TEST(Swiglu, BackwardMatchesCentralDifferencesInPlace) {
  Device device;
  Halves in(Matrix::normal(5, 22, 1, 2));
  const Matrix dout = Matrix::normal(5, 11, 2);
  Reference x(in.both);
  const auto loss = [&] {
    double sum = 0;
    for (int64_t t = 0; t < 5; ++t)
      for (int64_t f = 0; f < 11; ++f)
        sum += dout.at(t, f) * x(t, f) * sigmoid(x(t, f)) * x(t, 11 + f);
    return sum;
  };
  swiglu_backward(device.stream, in.part(0), in.part(1), dout.cview(), in.part(0), in.part(1));
  expect_gradient(in.both, x, loss);
}

TEST(Swiglu, SaturatedGatesStayFinite) {
  Device device;
  Halves in(Matrix(1, 4));
  in.both(0, 0) = 150;
  in.both(0, 1) = -150;
  in.both(0, 2) = in.both(0, 3) = 2;
  Matrix out(1, 2), dout = Matrix::constant(1, 2, 1);
  swiglu(device.stream, in.part(0), in.part(1), out.view());
  EXPECT_EQ(out.at(0, 0), 300);
  EXPECT_NEAR(out.at(0, 1), 0, 1e-30);
  swiglu_backward(device.stream, in.part(0), in.part(1), dout.cview(), in.part(0), in.part(1));
  EXPECT_EQ(in.both.at(0, 0), 2);
  EXPECT_NEAR(in.both.at(0, 1), 0, 1e-30);
  EXPECT_EQ(in.both.at(0, 2), 150);
  EXPECT_NEAR(in.both.at(0, 3), 0, 1e-30);
}

TEST(ActivationShapes, NoTokensIsFineAndMismatchIsNot) {
  Device device;
  Matrix none(0, 5), x(2, 5), other(2, 4);
  activation(device.stream, Activation::silu, none.cview(), none.view());
  swiglu(device.stream, none.cview(), none.cview(), none.view());
  EXPECT_THROW(activation(device.stream, Activation::silu, x.cview(), other.view()),
               InvalidArgument);
  EXPECT_THROW(
      activation_backward(device.stream, Activation::silu, x.cview(), other.cview(), x.view()),
      InvalidArgument);
  EXPECT_THROW(swiglu(device.stream, x.cview(), other.cview(), x.view()), InvalidArgument);
  EXPECT_THROW(
      swiglu_backward(device.stream, x.cview(), x.cview(), x.cview(), x.view(), other.view()),
      InvalidArgument);
}

}  // namespace
}  // namespace hecate::kernels
