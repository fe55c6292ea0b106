#include "runtime/kernels/gemm.h"

#include <algorithm>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/blas.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kGrain = 16;        // block borders are multiples of a vector
constexpr int64_t kExpertRows = 256;  // rows of a task of the grouped products
constexpr int64_t kSerialFlops = 1 << 19;

int64_t block_begin(int64_t size, int64_t blocks, int64_t block) {
  const int64_t grains = (size + kGrain - 1) / kGrain;
  return std::min(size, grains * block / blocks * kGrain);
}

// Blocks of one dimension: one per thread, two where they stay large. Part of a run's identity.
int64_t block_count(int64_t size, int threads) {
  const int64_t wanted = size >= 512 * threads ? 2 * threads : threads;
  return std::clamp<int64_t>((size + kGrain - 1) / kGrain, 1, wanted);
}

}  // namespace

void gemm(Stream& s, Transpose transpose_a, Transpose transpose_b, Real alpha, View<const Real> a,
          View<const Real> b, Real beta, View<Real> c) {
  const bool ta = transpose_a == Transpose::yes, tb = transpose_b == Transpose::yes;
  const int64_t m = c.dim(0), n = c.dim(1), k = ta ? a.dim(0) : a.dim(1);
  HECATE_CHECK((ta ? a.dim(1) : a.dim(0)) == m && (tb ? b.dim(0) : b.dim(1)) == n &&
                   (tb ? b.dim(1) : b.dim(0)) == k,
               "gemm: a ", a.shape(), ta ? "^T" : "", ", b ", b.shape(), tb ? "^T" : "", ", c ",
               c.shape());
  ThreadPool& pool = cpu_stream(s, "gemm").pool();
  const bool by_rows = m >= n;
  const int64_t size = by_rows ? m : n;
  const int64_t blocks = m * n * k < kSerialFlops ? 1 : block_count(size, pool.threads());
  pool.parallel_for(blocks, [&](int64_t block, int) {
    const int64_t begin = block_begin(size, blocks, block);
    const int64_t count = block_begin(size, blocks, block + 1) - begin;
    const Real* pa = by_rows ? a.data() + (ta ? begin : begin * a.row_stride()) : a.data();
    const Real* pb = by_rows ? b.data() : b.data() + (tb ? begin * b.row_stride() : begin);
    Real* pc = by_rows ? c.row(begin) : c.data() + begin;
    cpu::serial_gemm(ta, tb, by_rows ? count : m, by_rows ? n : count, k, alpha, pa, a.row_stride(),
                     pb, b.row_stride(), beta, pc, c.row_stride());
  });
}

void linear(Stream& s, View<const Real> x, View<const Real> w, View<Real> y, bool accumulate) {
  gemm(s, Transpose::no, Transpose::yes, 1, x, w, accumulate ? Real{1} : Real{0}, y);
}

void linear_backward_input(Stream& s, View<const Real> dy, View<const Real> w, View<Real> dx,
                           bool accumulate) {
  gemm(s, Transpose::no, Transpose::no, 1, dy, w, accumulate ? Real{1} : Real{0}, dx);
}

void linear_backward_weight(Stream& s, View<const Real> dy, View<const Real> x, View<Real> dw,
                            bool accumulate) {
  gemm(s, Transpose::yes, Transpose::no, 1, dy, x, accumulate ? Real{1} : Real{0}, dw);
}

namespace {

template <class Matrices>
void check_group(const char* name, int64_t rows, std::span<const int64_t> offsets,
                 const Matrices& w) {
  HECATE_CHECK(offsets.size() == w.data.size() + 1 && !offsets.empty() && offsets.front() == 0 &&
                   offsets.back() == rows && std::ranges::is_sorted(offsets),
               name, ": ", offsets.size(), " offsets up to ", offsets.empty() ? 0 : offsets.back(),
               " for ", w.data.size(), " experts and ", rows, " rows");
  for (size_t e = 0; e < w.data.size(); ++e)
    HECATE_CHECK(w.data[e] != nullptr || offsets[e] == offsets[e + 1], name, ": expert ", e,
                 " has ", offsets[e + 1] - offsets[e], " rows but no weights here");
}

// Calls task(expert, first row, rows) on blocks of every expert's rows.
template <class Task>
void for_expert_rows(ThreadPool& pool, std::span<const int64_t> offsets, const Task& task) {
  const auto experts = static_cast<int64_t>(offsets.size()) - 1;
  const auto blocks_of = [&](int64_t e) {
    return (offsets[static_cast<size_t>(e) + 1] - offsets[static_cast<size_t>(e)] + kExpertRows -
            1) /
           kExpertRows;
  };
  int64_t blocks = 0;
  for (int64_t e = 0; e < experts; ++e) blocks += blocks_of(e);
  pool.parallel_for(blocks, [&](int64_t index, int) {
    int64_t e = 0;
    while (index >= blocks_of(e)) index -= blocks_of(e++);
    const int64_t begin = offsets[static_cast<size_t>(e)],
                  end = offsets[static_cast<size_t>(e) + 1];
    const int64_t parts = blocks_of(e);
    const int64_t first = begin + block_begin(end - begin, parts, index);
    const int64_t last = begin + block_begin(end - begin, parts, index + 1);
    task(e, first, last - first);
  });
}

}  // namespace

void grouped_linear(Stream& s, View<const Real> x, std::span<const int64_t> offsets,
                    const ExpertWeights& w, View<Real> y) {
  check_group("grouped_linear", x.rows(), offsets, w);
  HECATE_CHECK(x.dim(1) == w.k && y.shape() == (Shape{x.rows(), w.n}), "grouped_linear: x ",
               x.shape(), ", w [", w.n, ",", w.k, "], y ", y.shape());
  for_expert_rows(
      cpu_stream(s, "grouped_linear").pool(), offsets, [&](int64_t e, int64_t first, int64_t rows) {
        cpu::serial_gemm(false, true, rows, w.n, w.k, 1, x.row(first), x.row_stride(),
                         w.data[static_cast<size_t>(e)], w.k, 0, y.row(first), y.row_stride());
      });
}

void grouped_linear_backward_input(Stream& s, View<const Real> dy, std::span<const int64_t> offsets,
                                   const ExpertWeights& w, View<Real> dx) {
  check_group("grouped_linear_backward_input", dy.rows(), offsets, w);
  HECATE_CHECK(dy.dim(1) == w.n && dx.shape() == (Shape{dy.rows(), w.k}),
               "grouped_linear_backward_input: dy ", dy.shape(), ", w [", w.n, ",", w.k, "], dx ",
               dx.shape());
  for_expert_rows(cpu_stream(s, "grouped_linear_backward_input").pool(), offsets,
                  [&](int64_t e, int64_t first, int64_t rows) {
                    cpu::serial_gemm(false, false, rows, w.k, w.n, 1, dy.row(first),
                                     dy.row_stride(), w.data[static_cast<size_t>(e)], w.k, 0,
                                     dx.row(first), dx.row_stride());
                  });
}

void grouped_linear_backward_weight(Stream& s, View<const Real> dy, View<const Real> x,
                                    std::span<const int64_t> offsets, const ExpertGradients& dw,
                                    bool accumulate) {
  check_group("grouped_linear_backward_weight", dy.rows(), offsets, dw);
  HECATE_CHECK(dy.shape() == (Shape{x.rows(), dw.n}) && x.dim(1) == dw.k,
               "grouped_linear_backward_weight: dy ", dy.shape(), ", x ", x.shape(), ", dw [", dw.n,
               ",", dw.k, "]");
  const int64_t parts = std::max<int64_t>(1, dw.n / kExpertRows);
  const auto experts = static_cast<int64_t>(dw.data.size());
  cpu_stream(s, "grouped_linear_backward_weight")
      .pool()
      .parallel_for(experts * parts, [&](int64_t index, int) {
        const auto e = static_cast<size_t>(index / parts);
        const int64_t begin = block_begin(dw.n, parts, index % parts);
        const int64_t count = block_begin(dw.n, parts, index % parts + 1) - begin;
        const int64_t rows = offsets[e + 1] - offsets[e];
        if (dw.data[e] == nullptr || (rows == 0 && accumulate)) return;
        cpu::serial_gemm(true, false, count, dw.k, rows, 1, dy.row(offsets[e]) + begin,
                         dy.row_stride(), x.row(offsets[e]), x.row_stride(),
                         accumulate ? Real{1} : Real{0}, dw.data[e] + begin * dw.k, dw.k);
      });
}

}  // namespace hecate::kernels
