#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "runtime/base/rng.h"
#include "runtime/device/stream.h"
#include "runtime/tensor/tensor_view.h"
#include "tests/runtime/kernels/tolerances.h"

/// What the kernel tests share: a stream, matrices whose gaps between rows are guarded, and
/// comparisons.
namespace hecate::testing {

inline constexpr Real kNan = std::numeric_limits<Real>::quiet_NaN();
inline constexpr Real kInfinity = std::numeric_limits<Real>::infinity();

/// A stream of the device that the executable was linked for: device_cpu.cpp or device_cuda.cpp.
std::unique_ptr<Stream> make_test_stream(ThreadPool& pool);
/// Memory that the device and the host can both touch.
std::byte* allocate_for_test(size_t bytes);
void release_of_test(std::byte* block) noexcept;

template <class T>
struct Allocator {
  using value_type = T;
  Allocator() = default;
  template <class U>
  Allocator(const Allocator<U>&) {}  // NOLINT: implicit, as allocators are
  T* allocate(size_t count) { return reinterpret_cast<T*>(allocate_for_test(count * sizeof(T))); }
  void deallocate(T* block, size_t) { release_of_test(reinterpret_cast<std::byte*>(block)); }
  bool operator==(const Allocator&) const = default;
};
/// A vector that kernels may read and write.
template <class T>
using Buffer = std::vector<T, Allocator<T>>;

struct Device {
  explicit Device(int threads = 2) : pool(threads), owner(make_test_stream(pool)), stream(*owner) {}
  ThreadPool pool;
  std::unique_ptr<Stream> owner;
  Stream& stream;
};

/// A [rows, cols] matrix with `gap` guard elements after each row; every element starts as NaN.
class Matrix {
 public:
  Matrix(int64_t rows, int64_t cols, int64_t gap = 0)
      : rows_(rows), cols_(cols), stride_(cols + gap) {
    values_.assign(static_cast<size_t>(rows * stride_), kNan);
  }
  /// Normal values from (seed, index), times scale.
  static Matrix normal(int64_t rows, int64_t cols, uint64_t seed, double scale = 1,
                       int64_t gap = 0) {
    Matrix m(rows, cols, gap);
    const CounterRng rng(seed, 0);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        m(r, c) = static_cast<Real>(scale * rng.normal(static_cast<uint64_t>(r * cols + c)));
    return m;
  }
  static Matrix constant(int64_t rows, int64_t cols, Real value, int64_t gap = 0) {
    Matrix m(rows, cols, gap);
    for (int64_t r = 0; r < rows; ++r) std::fill_n(&m(r, 0), cols, value);
    return m;
  }

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  Real* data() { return values_.data(); }
  const Real* data() const { return values_.data(); }
  Real& operator()(int64_t r, int64_t c) { return values_.data()[r * stride_ + c]; }
  double at(int64_t r, int64_t c) const {
    return static_cast<double>(values_[static_cast<size_t>(r * stride_ + c)]);
  }
  View<Real> view() { return {values_.data(), {rows_, cols_}, stride_}; }
  View<const Real> cview() const { return {values_.data(), {rows_, cols_}, stride_}; }
  /// One-dimensional view of a matrix without gaps.
  View<Real> flat() { return {values_.data(), {rows_ * cols_}}; }
  View<const Real> cflat() const { return {values_.data(), {rows_ * cols_}}; }

  bool gaps_untouched() const {
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t c = cols_; c < stride_; ++c)
        if (!std::isnan(at(r, c))) return false;
    return true;
  }
  bool same_bits(const Matrix& other) const {
    if (values_.size() != other.values_.size()) return false;
    return values_.empty() ||
           std::memcmp(values_.data(), other.values_.data(), values_.size() * sizeof(Real)) == 0;
  }

 private:
  int64_t rows_, cols_, stride_;
  Buffer<Real> values_;
};

/// A double matrix for references.
struct Reference {
  Reference(int64_t rows_in, int64_t cols_in) : rows(rows_in), cols(cols_in) {
    values.assign(static_cast<size_t>(rows * cols), 0.0);
  }
  explicit Reference(const Matrix& m) : Reference(m.rows(), m.cols()) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c) (*this)(r, c) = m.at(r, c);
  }
  double& operator()(int64_t r, int64_t c) { return values[static_cast<size_t>(r * cols + c)]; }
  double operator()(int64_t r, int64_t c) const {
    return values[static_cast<size_t>(r * cols + c)];
  }
  int64_t rows, cols;
  std::vector<double> values;
};

/// |got - want| <= tolerance * max(1, |want|) everywhere, and no write between the rows.
inline void expect_near(const Matrix& got, const Reference& want, double tolerance,
                        const char* what = "") {
  ASSERT_EQ(got.rows(), want.rows);
  ASSERT_EQ(got.cols(), want.cols);
  EXPECT_TRUE(got.gaps_untouched()) << what;
  int shown = 0;
  for (int64_t r = 0; r < want.rows && shown < 5; ++r)
    for (int64_t c = 0; c < want.cols && shown < 5; ++c) {
      const double bound = tolerance * std::max(1.0, std::abs(want(r, c)));
      if (std::abs(got.at(r, c) - want(r, c)) <= bound) continue;
      ++shown;
      ADD_FAILURE() << what << " [" << r << "," << c << "]: got " << got.at(r, c) << ", want "
                    << want(r, c) << " +- " << bound;
    }
}

/// Central difference of f by x(r, c), where f reads x.
inline double central_difference(Reference& x, int64_t r, int64_t c,
                                 const std::function<double()>& f) {
  const double kept = x(r, c);
  const double step = kDifferenceStep * std::max(1.0, std::abs(kept));
  x(r, c) = kept + step;
  const double above = f();
  x(r, c) = kept - step;
  const double below = f();
  x(r, c) = kept;
  return (above - below) / (2 * step);
}

/// Compares `gradient` with central differences of f by every element of x.
inline void expect_gradient(const Matrix& gradient, Reference& x, const std::function<double()>& f,
                            const char* what = "") {
  Reference want(x.rows, x.cols);
  for (int64_t r = 0; r < x.rows; ++r)
    for (int64_t c = 0; c < x.cols; ++c) want(r, c) = central_difference(x, r, c, f);
  expect_near(gradient, want, kDifference, what);
}

/// Runs `run(stream)` with 1, 2 and 3 threads; every result must have the bits of the first.
inline void expect_same_bits_for_thread_counts(const std::function<Matrix(Stream&)>& run) {
  Device one(1);
  const Matrix want = run(one.stream);
  for (int threads : {2, 3}) {
    Device more(threads);
    EXPECT_TRUE(run(more.stream).same_bits(want)) << threads << " threads";
  }
}

}  // namespace hecate::testing
