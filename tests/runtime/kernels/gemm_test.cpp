#include "runtime/kernels/gemm.h"

#include "tests/runtime/kernels/support.h"

namespace hecate::kernels {
namespace {

using hecate::testing::Device;
using hecate::testing::expect_near;
using hecate::testing::kSum;
using hecate::testing::Matrix;
using hecate::testing::Reference;

// alpha op(a) op(b) + beta c in double; beta = 0 ignores c.
Reference product(bool ta, bool tb, double alpha, const Matrix& a, const Matrix& b, double beta,
                  const Matrix& c) {
  Reference out(c.rows(), c.cols());
  const int64_t inner = ta ? a.rows() : a.cols();
  for (int64_t i = 0; i < c.rows(); ++i)
    for (int64_t j = 0; j < c.cols(); ++j) {
      double sum = 0;
      for (int64_t k = 0; k < inner; ++k)
        sum += (ta ? a.at(k, i) : a.at(i, k)) * (tb ? b.at(j, k) : b.at(k, j));
      out(i, j) = alpha * sum + (beta == 0 ? 0 : beta * c.at(i, j));
    }
  return out;
}

// Terms are of order one.
double tolerance(int64_t inner) {
  return kSum * static_cast<double>(inner + 1);
}

struct GemmCase {
  int64_t m, n, k;
  double alpha, beta;
  int64_t gap;
};

class GemmTest : public ::testing::TestWithParam<GemmCase> {};

TEST_P(GemmTest, MatchesDoublePrecisionForEveryTranspose) {
  const GemmCase p = GetParam();
  Device device;
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      const Matrix a =
          ta ? Matrix::normal(p.k, p.m, 1, 1, p.gap) : Matrix::normal(p.m, p.k, 1, 1, p.gap);
      const Matrix b =
          tb ? Matrix::normal(p.n, p.k, 2, 1, p.gap) : Matrix::normal(p.k, p.n, 2, 1, p.gap);
      Matrix c = p.beta == 0 ? Matrix(p.m, p.n, p.gap) : Matrix::normal(p.m, p.n, 3, 1, p.gap);
      const Reference want = product(ta, tb, p.alpha, a, b, p.beta, c);
      gemm(device.stream, ta ? Transpose::yes : Transpose::no, tb ? Transpose::yes : Transpose::no,
           static_cast<Real>(p.alpha), a.cview(), b.cview(), static_cast<Real>(p.beta), c.view());
      expect_near(c, want, tolerance(p.k), ta ? (tb ? "TT" : "TN") : (tb ? "NT" : "NN"));
    }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, GemmTest,
    ::testing::Values(GemmCase{1, 1, 1, 1, 0, 0}, GemmCase{7, 5, 3, 1, 0, 2},
                      GemmCase{33, 65, 17, -0.5, 1, 3}, GemmCase{1, 129, 64, 1, 1, 0},
                      GemmCase{131, 1, 67, 2, 0.5, 1}, GemmCase{300, 190, 150, 1, 0, 0},
                      GemmCase{70, 1030, 40, 1, 1, 0}, GemmCase{0, 5, 3, 1, 0, 0},
                      GemmCase{5, 0, 3, 1, 1, 0}, GemmCase{6, 5, 0, 1, 0, 1},
                      GemmCase{6, 5, 0, 1, 0.5, 1}),
    [](const auto& each) {
      const GemmCase& p = each.param;
      return concat(p.m, "x", p.n, "x", p.k, p.beta == 0 ? "" : "_added");
    });

TEST(Gemm, RepeatsBitForBit) {
  Device device;
  const Matrix a = Matrix::normal(300, 257, 1), b = Matrix::normal(257, 400, 2);
  Matrix first(300, 400), second(300, 400);
  gemm(device.stream, Transpose::no, Transpose::no, 1, a.cview(), b.cview(), 0, first.view());
  for (int run = 0; run < 5; ++run) {
    gemm(device.stream, Transpose::no, Transpose::no, 1, a.cview(), b.cview(), 0, second.view());
    ASSERT_TRUE(second.same_bits(first)) << "run " << run;
  }
}

TEST(Gemm, RejectsShapesThatDoNotFit) {
  Device device;
  Matrix a(4, 3), b(4, 5), c(4, 5);
  const auto call = [&](Transpose ta, Transpose tb) {
    gemm(device.stream, ta, tb, 1, a.cview(), b.cview(), 0, c.view());
  };
  EXPECT_THROW(call(Transpose::no, Transpose::no), InvalidArgument);
  EXPECT_THROW(call(Transpose::yes, Transpose::no), InvalidArgument);
  EXPECT_THROW(call(Transpose::no, Transpose::yes), InvalidArgument);
  EXPECT_THROW(
      gemm(device.stream, Transpose::no, Transpose::no, 1, a.cflat(), b.cview(), 0, c.view()),
      InvalidArgument);
}

TEST(Linear, MatchesDoublePrecisionForwardAndBackward) {
  Device device;
  const int64_t tokens = 37, in = 19, out = 45;
  const Matrix x = Matrix::normal(tokens, in, 1, 1, 2), w = Matrix::normal(out, in, 2);
  const Matrix dy = Matrix::normal(tokens, out, 3);
  for (bool accumulate : {false, true}) {
    const double beta = accumulate ? 1 : 0;
    const auto target = [&](int64_t rows, int64_t cols) {
      return accumulate ? Matrix::normal(rows, cols, 9) : Matrix(rows, cols);
    };
    Matrix y = target(tokens, out), dx = target(tokens, in), dw = target(out, in);
    const Reference want_y = product(false, true, 1, x, w, beta, y);
    const Reference want_dx = product(false, false, 1, dy, w, beta, dx);
    const Reference want_dw = product(true, false, 1, dy, x, beta, dw);
    linear(device.stream, x.cview(), w.cview(), y.view(), accumulate);
    linear_backward_input(device.stream, dy.cview(), w.cview(), dx.view(), accumulate);
    linear_backward_weight(device.stream, dy.cview(), x.cview(), dw.view(), accumulate);
    expect_near(y, want_y, tolerance(in), "y");
    expect_near(dx, want_dx, tolerance(out), "dx");
    expect_near(dw, want_dw, tolerance(tokens), "dw");
  }
}

// Expert weights and the rows that each expert gets.
struct Group {
  Group(const std::vector<int64_t>& loads, int64_t n_in, int64_t k_in) : n(n_in), k(k_in) {
    offsets.push_back(0);
    for (int64_t load : loads) {
      weights.push_back(Matrix::normal(n, k, 20 + offsets.size()));
      offsets.push_back(offsets.back() + load);
    }
    for (size_t e = 0; e < weights.size(); ++e)
      data.push_back(offsets[e] == offsets[e + 1] ? nullptr : weights[e].data());
  }
  int64_t rows() const { return offsets.back(); }
  size_t expert_of(int64_t row) const {
    size_t e = 0;
    while (row >= offsets[e + 1]) ++e;
    return e;
  }
  ExpertWeights view() const { return {.data = data, .n = n, .k = k}; }
  int64_t n, k;
  std::vector<int64_t> offsets;
  std::vector<Matrix> weights;
  std::vector<const Real*> data;
};

class GroupedTest : public ::testing::TestWithParam<std::vector<int64_t>> {};

TEST_P(GroupedTest, ForwardMatchesRowByRow) {
  Device device;
  const Group group(GetParam(), 23, 17);
  const Matrix x = Matrix::normal(group.rows(), 17, 1, 1, 3);
  Matrix y(group.rows(), 23, 2);
  grouped_linear(device.stream, x.cview(), group.offsets, group.view(), y.view());
  Reference want(group.rows(), 23);
  for (int64_t r = 0; r < group.rows(); ++r)
    for (int64_t j = 0; j < 23; ++j)
      for (int64_t i = 0; i < 17; ++i)
        want(r, j) += x.at(r, i) * group.weights[group.expert_of(r)].at(j, i);
  expect_near(y, want, tolerance(17));
}

TEST_P(GroupedTest, BackwardInputMatchesRowByRow) {
  Device device;
  const Group group(GetParam(), 23, 17);
  const Matrix dy = Matrix::normal(group.rows(), 23, 1, 1, 1);
  Matrix dx(group.rows(), 17, 2);
  grouped_linear_backward_input(device.stream, dy.cview(), group.offsets, group.view(), dx.view());
  Reference want(group.rows(), 17);
  for (int64_t r = 0; r < group.rows(); ++r)
    for (int64_t i = 0; i < 17; ++i)
      for (int64_t j = 0; j < 23; ++j)
        want(r, i) += dy.at(r, j) * group.weights[group.expert_of(r)].at(j, i);
  expect_near(dx, want, tolerance(23));
}

TEST_P(GroupedTest, BackwardWeightWritesOrAccumulates) {
  Device device;
  const Group group(GetParam(), 523, 17);
  const Matrix x = Matrix::normal(group.rows(), 17, 1, 1, 3);
  const Matrix dy = Matrix::normal(group.rows(), 523, 2);
  for (bool accumulate : {false, true}) {
    std::vector<Matrix> dw;
    std::vector<Reference> want;
    std::vector<Real*> data;
    for (size_t e = 0; e < group.weights.size(); ++e) {
      dw.push_back(accumulate ? Matrix::normal(523, 17, 50 + e) : Matrix(523, 17));
      want.push_back(accumulate ? Reference(dw.back()) : Reference(523, 17));
    }
    for (Matrix& m : dw) data.push_back(m.data());
    for (int64_t r = 0; r < group.rows(); ++r)
      for (int64_t j = 0; j < 523; ++j)
        for (int64_t i = 0; i < 17; ++i) want[group.expert_of(r)](j, i) += dy.at(r, j) * x.at(r, i);
    grouped_linear_backward_weight(device.stream, dy.cview(), x.cview(), group.offsets,
                                   {.data = data, .n = 523, .k = 17}, accumulate);
    for (size_t e = 0; e < dw.size(); ++e) expect_near(dw[e], want[e], tolerance(group.rows()));
  }
}

TEST_P(GroupedTest, RepeatsBitForBit) {
  Device device;
  const Group group(GetParam(), 23, 17);
  const Matrix x = Matrix::normal(group.rows(), 17, 1);
  Matrix first(group.rows(), 23), second(group.rows(), 23);
  grouped_linear(device.stream, x.cview(), group.offsets, group.view(), first.view());
  grouped_linear(device.stream, x.cview(), group.offsets, group.view(), second.view());
  EXPECT_TRUE(second.same_bits(first));
}

INSTANTIATE_TEST_SUITE_P(Loads, GroupedTest,
                         ::testing::Values(std::vector<int64_t>{}, std::vector<int64_t>{0, 0},
                                           std::vector<int64_t>{5},
                                           std::vector<int64_t>{1, 0, 1, 1},
                                           std::vector<int64_t>{0, 900, 2, 0, 31, 1},
                                           std::vector<int64_t>{70, 64, 65, 63}),
                         [](const auto& each) {
                           std::string name = "rows";
                           for (int64_t rows : each.param) name += concat("_", rows);
                           return name;
                         });

TEST(Grouped, BackwardWeightSkipsExpertsThatAreElsewhere) {
  Device device;
  const Matrix x = Matrix::constant(2, 3, 1), dy = Matrix::constant(2, 4, 1);
  Matrix dw = Matrix::constant(4, 3, 5);
  const std::vector<int64_t> offsets = {0, 0, 2};
  const std::vector<Real*> data = {nullptr, dw.data()};
  grouped_linear_backward_weight(device.stream, dy.cview(), x.cview(), offsets,
                                 {.data = data, .n = 4, .k = 3}, true);
  expect_near(dw, Reference(Matrix::constant(4, 3, 7)), 0);
}

TEST(Grouped, RejectsWhatDoesNotFit) {
  Device device;
  const Group group({2, 3}, 4, 6);
  Matrix x(5, 6), y(5, 4);
  const auto call = [&](std::vector<int64_t> offsets, View<const Real> in, View<Real> out) {
    grouped_linear(device.stream, in, offsets, group.view(), out);
  };
  EXPECT_THROW(call({0, 5}, x.cview(), y.view()), InvalidArgument);
  EXPECT_THROW(call({0, 2, 4}, x.cview(), y.view()), InvalidArgument);
  EXPECT_THROW(call({1, 2, 5}, x.cview(), y.view()), InvalidArgument);
  EXPECT_THROW(call({0, 6, 5}, x.cview(), y.view()), InvalidArgument);
  EXPECT_THROW(call({0, 2, 5}, y.cview(), y.view()), InvalidArgument);
  EXPECT_THROW(call({0, 2, 5}, x.cview(), x.view()), InvalidArgument);
}

TEST(Grouped, RejectsRowsOfAnExpertWithoutWeights) {
  Device device;
  const Matrix x = Matrix::constant(2, 3, 1), dy = Matrix::constant(2, 4, 1);
  Matrix y(2, 4), dx(2, 3);
  const std::vector<int64_t> offsets = {0, 2};
  const std::vector<const Real*> none = {nullptr};
  const std::vector<Real*> no_gradient = {nullptr};
  EXPECT_THROW(
      grouped_linear(device.stream, x.cview(), offsets, {.data = none, .n = 4, .k = 3}, y.view()),
      InvalidArgument);
  EXPECT_THROW(grouped_linear_backward_input(device.stream, dy.cview(), offsets,
                                             {.data = none, .n = 4, .k = 3}, dx.view()),
               InvalidArgument);
  EXPECT_THROW(grouped_linear_backward_weight(device.stream, dy.cview(), x.cview(), offsets,
                                              {.data = no_gradient, .n = 4, .k = 3}, false),
               InvalidArgument);
}

}  // namespace
}  // namespace hecate::kernels
