#include "runtime/kernels/elementwise.h"

#include "tests/runtime/kernels/support.h"

namespace hecate::kernels {
namespace {

using namespace hecate::testing;  // NOLINT: the vocabulary of these tests

template <class F>
Reference mapped(const Matrix& a, const Matrix& b, const F& f) {
  Reference out(a.rows(), a.cols());
  for (int64_t r = 0; r < a.rows(); ++r)
    for (int64_t c = 0; c < a.cols(); ++c) out(r, c) = f(a.at(r, c), b.at(r, c));
  return out;
}

class ElementwiseTest : public ::testing::TestWithParam<int64_t> {
 protected:
  Matrix normal(uint64_t seed) const { return Matrix::normal(37, 71, seed, 1, GetParam()); }
  Matrix poisoned() const { return Matrix(37, 71, GetParam()); }
  Device device_{3};
};

TEST_P(ElementwiseTest, FillAndCopyWriteEveryElement) {
  Matrix x = poisoned();
  fill(device_.stream, Real(2.5), x.view());
  expect_near(x, Reference(Matrix::constant(37, 71, Real(2.5))), 0);
  const Matrix source = normal(1);
  copy(device_.stream, source.cview(), x.view());
  expect_near(x, Reference(source), 0);
}

TEST_P(ElementwiseTest, AddScaleAndAddTo) {
  const Matrix a = normal(1), b = normal(2);
  const double alpha = -0.25;
  Matrix y = a;
  add(device_.stream, static_cast<Real>(alpha), b.cview(), y.view());
  const Reference want = mapped(a, b, [&](double p, double q) { return p + alpha * q; });
  expect_near(y, want, kElement, "add");
  Matrix out = poisoned(), over_a = a, over_b = b;
  add_to(device_.stream, a.cview(), static_cast<Real>(alpha), b.cview(), out.view());
  expect_near(out, want, kElement, "add_to");
  add_to(device_.stream, over_a.cview(), static_cast<Real>(alpha), b.cview(), over_a.view());
  add_to(device_.stream, a.cview(), static_cast<Real>(alpha), over_b.cview(), over_b.view());
  EXPECT_TRUE(over_a.same_bits(out));
  EXPECT_TRUE(over_b.same_bits(out));
  scale(device_.stream, Real(0.5), out.view());
  expect_near(out, mapped(a, b, [&](double p, double q) { return 0.5 * (p + alpha * q); }),
              kElement, "scale");
}

INSTANTIATE_TEST_SUITE_P(Gaps, ElementwiseTest, ::testing::Values(0, 5),
                         ::testing::PrintToStringParamName());

TEST(Elementwise, VectorsAreHandledLikeMatrices) {
  Device device;
  const Matrix a = Matrix::normal(1, 1001, 1), b = Matrix::normal(1, 1001, 2);
  Matrix out(1, 1001);
  add_to(device.stream, a.cflat(), 2, b.cflat(), out.flat());
  expect_near(out, mapped(a, b, [](double p, double q) { return p + 2 * q; }), kElement);
}

TEST(Elementwise, NothingToDo) {
  Device device;
  Matrix none(0, 5), flat(3, 0);
  fill(device.stream, 1, none.view());
  copy(device.stream, flat.cview(), flat.view());
  add(device.stream, 1, none.cview(), none.view());
  add_to(device.stream, none.cview(), 1, none.cview(), none.view());
  scale(device.stream, 1, flat.view());
  EXPECT_EQ(sum_of_squares(device.stream, none.cview()), 0);
  EXPECT_EQ(first_non_finite(device.stream, none.cview()), -1);
}

TEST(Elementwise, RejectsShapesThatDiffer) {
  Device device;
  Matrix a(2, 3), b(3, 2);
  EXPECT_THROW(copy(device.stream, a.cview(), b.view()), InvalidArgument);
  EXPECT_THROW(add(device.stream, 1, a.cview(), b.view()), InvalidArgument);
  EXPECT_THROW(add_to(device.stream, a.cview(), 1, b.cview(), a.view()), InvalidArgument);
  EXPECT_THROW(add_to(device.stream, a.cview(), 1, a.cview(), b.view()), InvalidArgument);
  EXPECT_THROW(dropout(device.stream, Real(0.5), 1, 2, 0, a.cview(), b.view()), InvalidArgument);
}

TEST(SumOfSquares, MatchesDoublePrecisionForAnyThreadCount) {
  const Matrix x = Matrix::normal(1, 200003, 1);
  double want = 0;
  for (int64_t i = 0; i < x.cols(); ++i) want += x.at(0, i) * x.at(0, i);
  Device one(1);
  const double got = sum_of_squares(one.stream, x.cflat());
  EXPECT_NEAR(got, want, 1e-12 * want);
  for (int threads : {2, 3}) {
    Device more(threads);
    EXPECT_EQ(sum_of_squares(more.stream, x.cflat()), got);
  }
}

TEST(SumOfSquares, ShowsNanAndInfinity) {
  Device device;
  for (Real bad : {kNan, kInfinity, -kInfinity}) {
    Matrix x = Matrix::constant(1, 100000, 1);
    x(0, 77777) = bad;
    EXPECT_FALSE(std::isfinite(sum_of_squares(device.stream, x.cflat())));
  }
}

TEST(FirstNonFinite, NamesTheFirst) {
  Device device;
  Matrix x = Matrix::normal(1, 100000, 1);
  EXPECT_EQ(first_non_finite(device.stream, x.cflat()), -1);
  x(0, 5) = std::numeric_limits<Real>::max();
  x(0, 6) = std::numeric_limits<Real>::denorm_min();
  EXPECT_EQ(first_non_finite(device.stream, x.cflat()), -1) << "extremes are finite";
  for (const int64_t at : {99999, 40001, 33, 0}) {
    x(0, at) = at % 2 == 0 ? kNan : -kInfinity;
    EXPECT_EQ(first_non_finite(device.stream, x.cflat()), at);
  }
}

TEST(Dropout, KeepsTheRateAndScalesWhatItKeeps) {
  Device device;
  const Matrix x = Matrix::constant(200, 500, 3);
  Matrix y(200, 500);
  dropout(device.stream, Real(0.25), 7, 1, 0, x.cview(), y.view());
  int64_t dropped = 0;
  for (int64_t r = 0; r < 200; ++r)
    for (int64_t c = 0; c < 500; ++c) {
      if (y.at(r, c) == 0)
        ++dropped;
      else
        ASSERT_NEAR(y.at(r, c), 4, 4 * kElement);
    }
  EXPECT_NEAR(static_cast<double>(dropped) / 1e5, 0.25, 6 * std::sqrt(0.25 * 0.75 / 1e5));
}

TEST(Dropout, DependsOnSeedStreamAndGlobalRowAlone) {
  Device device(3);
  const auto mask = [&](uint64_t seed, uint64_t stream, int64_t first, int64_t rows) {
    const Matrix x = Matrix::constant(rows, 33, 1);
    Matrix y(rows, 33);
    dropout(device.stream, Real(0.5), seed, stream, first, x.cview(), y.view());
    return y;
  };
  const Matrix whole = mask(1, 2, 0, 40);
  const Matrix tail = mask(1, 2, 25, 15);
  for (int64_t r = 0; r < 15; ++r)
    for (int64_t c = 0; c < 33; ++c) ASSERT_EQ(tail.at(r, c), whole.at(25 + r, c));
  EXPECT_FALSE(mask(2, 2, 0, 40).same_bits(whole));
  EXPECT_FALSE(mask(1, 3, 0, 40).same_bits(whole));
}

TEST(Dropout, RateZeroCopiesAndBadRatesThrow) {
  Device device;
  Matrix x = Matrix::normal(3, 9, 1), y = x;
  dropout(device.stream, 0, 1, 1, 0, y.cview(), y.view());
  EXPECT_TRUE(y.same_bits(x));
  EXPECT_THROW(dropout(device.stream, 1, 1, 1, 0, x.cview(), y.view()), InvalidArgument);
  EXPECT_THROW(dropout(device.stream, Real(-0.1), 1, 1, 0, x.cview(), y.view()), InvalidArgument);
  EXPECT_THROW(dropout(device.stream, kNan, 1, 1, 0, x.cview(), y.view()), InvalidArgument);
}

View<const int32_t> ids_view(const Buffer<int32_t>& ids) {
  return {ids.data(), {static_cast<int64_t>(ids.size())}};
}

TEST(Embedding, GathersAndScattersInTokenOrder) {
  const Buffer<int32_t> ids = {3, 0, 3, 3, 1, 4};
  const Matrix table = Matrix::normal(5, 131, 1), dy = Matrix::normal(6, 131, 2, 1, 3);
  Device device;
  Matrix out(6, 131, 2);
  embedding(device.stream, ids_view(ids), table.cview(), Real(0.5), out.view());
  Reference want(6, 131), dwant(5, 131);
  for (int64_t t = 0; t < 6; ++t)
    for (int64_t d = 0; d < 131; ++d) {
      const auto id = ids[static_cast<size_t>(t)];
      want(t, d) = 0.5 * table.at(id, d);
      dwant(id, d) += 0.5 * dy.at(t, d);
    }
  expect_near(out, want, kElement);
  Matrix dtable = Matrix::constant(5, 131, 1);
  for (double& value : dwant.values) value += 1;
  embedding_backward(device.stream, ids_view(ids), dy.cview(), Real(0.5), dtable.view());
  expect_near(dtable, dwant, 2 * kElement);
}

TEST(Embedding, BackwardBitsDoNotDependOnThreads) {
  Buffer<int32_t> ids;
  const CounterRng rng(1, 1);
  for (uint64_t t = 0; t < 300; ++t) ids.push_back(static_cast<int32_t>(rng.below(t, 7)));
  const Matrix dy = Matrix::normal(300, 517, 2);
  expect_same_bits_for_thread_counts([&](Stream& s) {
    Matrix dtable = Matrix::constant(7, 517, 0);
    embedding_backward(s, ids_view(ids), dy.cview(), 1, dtable.view());
    return dtable;
  });
}

TEST(Embedding, RejectsIdsOutsideTheTableBeforeWriting) {
  Device device;
  const Matrix dy = Matrix::constant(2, 3, 1);
  Matrix table = Matrix::constant(4, 3, 1), out(2, 3);
  for (const Buffer<int32_t>& ids : {Buffer<int32_t>{1, 4}, Buffer<int32_t>{1, -1}}) {
    EXPECT_THROW(embedding(device.stream, ids_view(ids), table.cview(), 1, out.view()),
                 InvalidArgument);
    EXPECT_THROW(embedding_backward(device.stream, ids_view(ids), dy.cview(), 1, table.view()),
                 InvalidArgument);
  }
  expect_near(table, Reference(Matrix::constant(4, 3, 1)), 0);
  EXPECT_THROW(embedding(device.stream, ids_view({1}), table.cview(), 1, out.view()),
               InvalidArgument);
  EXPECT_THROW(embedding_backward(device.stream, ids_view({1}), dy.cview(), 1, table.view()),
               InvalidArgument);
}

}  // namespace
}  // namespace hecate::kernels
