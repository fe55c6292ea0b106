#include "runtime/kernels/gemm.h"

#include <algorithm>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/blas.h"
#include "runtime/kernels/cuda/kernels.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kGrain = 16;  // block borders are multiples of a vector
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

// Which dimension is cut: the larger one, but rows of a transposed a (weight gradients) as long as
// they are many, because every block would pack all of a again; that cost up to 40 % at 8 blocks.
bool split_rows(bool transpose_a, int64_t m, int64_t n, int threads) {
  return m >= n || (transpose_a && m >= 128 * threads);
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
  if (s.device() == DeviceKind::cuda)
    return cuda::gemm(s, transpose_a, transpose_b, alpha, a, b, beta, c);
  ThreadPool& pool = cpu_stream(s, "gemm").pool();
  const bool by_rows = split_rows(ta, m, n, pool.threads());
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

}  // namespace hecate::kernels
