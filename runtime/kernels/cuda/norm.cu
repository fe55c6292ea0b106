#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.cuh"
#include "runtime/kernels/cuda/math.cuh"

namespace hecate::kernels::cuda {
namespace {

constexpr int64_t kBlock = 64;  // rows whose gamma gradients are summed together

// [T,N], or [T,G,N] as T x G rows of N.
struct Groups {
  int64_t rows, groups, n;
  explicit Groups(const View<const Real>& x)
      : rows(x.dim(0)),
        groups(x.shape().rank() == 3 ? x.dim(1) : 1),
        n(x.dim(x.shape().rank() - 1)) {}
};

template <class T>
__device__ T* part(const Rows<T>& x, const Groups& g, int64_t row) {
  return x[row / g.groups] + row % g.groups * g.n;
}

__device__ Real sum_over(int64_t n, Real* slots, const Real* a, const Real* b) {
  Real sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += b == nullptr ? a[i] : a[i] * b[i];
  return block_sum(sum, slots);
}

__global__ void rms_norm_kernel(Groups g, Rows<const Real> x, const Real* gamma, Real eps,
                                Rows<Real> y, Real* rstd) {
  __shared__ Real slots[kWarp];
  for (int64_t row = blockIdx.x; row < g.rows * g.groups; row += gridDim.x) {
    const Real* in = part(x, g, row);
    Real* out = part(y, g, row);
    const Real squares = sum_over(g.n, slots, in, in);
    const Real inverse = Real(1) / Math::sqrt(squares / static_cast<Real>(g.n) + eps);
    for (int64_t i = threadIdx.x; i < g.n; i += blockDim.x) out[i] = in[i] * inverse * gamma[i];
    if (threadIdx.x == 0) rstd[row] = inverse;
  }
}

__global__ void rms_norm_backward_kernel(Groups g, Rows<const Real> x, const Real* gamma,
                                         const Real* rstd, Rows<const Real> dy, bool accumulate,
                                         Rows<Real> dx) {
  __shared__ Real slots[kWarp];
  for (int64_t row = blockIdx.x; row < g.rows * g.groups; row += gridDim.x) {
    const Real *in = part(x, g, row), *d = part(dy, g, row);
    Real* out = part(dx, g, row);
    Real inner = 0;
    for (int64_t i = threadIdx.x; i < g.n; i += blockDim.x) inner += d[i] * gamma[i] * in[i];
    inner = block_sum(inner, slots);
    const Real r = rstd[row], pull = inner * r * r / static_cast<Real>(g.n);
    for (int64_t i = threadIdx.x; i < g.n; i += blockDim.x) {
      const Real value = r * (d[i] * gamma[i] - pull * in[i]);
      out[i] = accumulate ? out[i] + value : value;
    }
  }
}

__global__ void layer_norm_kernel(Groups g, Rows<const Real> x, const Real* gamma, const Real* beta,
                                  Real eps, Rows<Real> y, Real* mean, Real* rstd) {
  __shared__ Real slots[kWarp];
  for (int64_t row = blockIdx.x; row < g.rows * g.groups; row += gridDim.x) {
    const Real* in = part(x, g, row);
    Real* out = part(y, g, row);
    const Real center = sum_over(g.n, slots, in, nullptr) / static_cast<Real>(g.n);
    Real squares = 0;
    for (int64_t i = threadIdx.x; i < g.n; i += blockDim.x)
      squares += (in[i] - center) * (in[i] - center);
    squares = block_sum(squares, slots);
    const Real inverse = Real(1) / Math::sqrt(squares / static_cast<Real>(g.n) + eps);
    for (int64_t i = threadIdx.x; i < g.n; i += blockDim.x)
      out[i] = (in[i] - center) * inverse * gamma[i] + beta[i];
    if (threadIdx.x != 0) continue;
    mean[row] = center;
    rstd[row] = inverse;
  }
}

__global__ void layer_norm_backward_kernel(Groups g, Rows<const Real> x, const Real* gamma,
                                           const Real* mean, const Real* rstd, Rows<const Real> dy,
                                           bool accumulate, Rows<Real> dx) {
  __shared__ Real slots[kWarp];
  for (int64_t row = blockIdx.x; row < g.rows * g.groups; row += gridDim.x) {
    const Real *in = part(x, g, row), *d = part(dy, g, row);
    Real* out = part(dx, g, row);
    const Real center = mean[row], r = rstd[row];
    Real sum = 0, inner = 0;
    for (int64_t i = threadIdx.x; i < g.n; i += blockDim.x) {
      sum += d[i] * gamma[i];
      inner += d[i] * gamma[i] * (in[i] - center) * r;
    }
    sum = block_sum(sum, slots) / static_cast<Real>(g.n);
    inner = block_sum(inner, slots) / static_cast<Real>(g.n);
    for (int64_t i = threadIdx.x; i < g.n; i += blockDim.x) {
      const Real value = r * (d[i] * gamma[i] - sum - (in[i] - center) * r * inner);
      out[i] = accumulate ? out[i] + value : value;
    }
  }
}

// Column sums over each block of rows of dy * normed x, and of dy where dbeta is wanted:
// partial [blocks, 2, N]. mean may be null (0).
__global__ void gamma_kernel(Groups g, Rows<const Real> x, const Real* mean, const Real* rstd,
                             Rows<const Real> dy, Real* partial) {
  const int64_t first = blockIdx.y * kBlock;
  const int64_t end = first + kBlock < g.rows ? first + kBlock : g.rows;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < g.n;
       i += int64_t{gridDim.x} * blockDim.x) {
    Real gamma = 0, beta = 0;
    for (int64_t row = first * g.groups; row < end * g.groups; ++row) {
      const Real d = part(dy, g, row)[i];
      const Real center = mean == nullptr ? Real(0) : mean[row];
      gamma += d * (part(x, g, row)[i] - center) * rstd[row];
      beta += d;
    }
    partial[(blockIdx.y * 2) * g.n + i] = gamma;
    partial[(blockIdx.y * 2 + 1) * g.n + i] = beta;
  }
}

unsigned row_blocks(const Groups& g) {
  return static_cast<unsigned>(std::min<int64_t>(g.rows * g.groups, 1 << 16));
}

int threads_for(int64_t n) {
  return n > 128 ? kThreads : (n > 32 ? 64 : kWarp);
}

void gamma_gradients(Stream& s, const char* name, const Groups& g, const View<const Real>& x,
                     const Real* mean, const Real* rstd, const View<const Real>& dy, Real* dgamma,
                     Real* dbeta) {
  const int64_t blocks = (g.rows + kBlock - 1) / kBlock, n = g.n;
  if (blocks == 0) return;
  HECATE_CHECK(blocks <= 65535, name, ": ", g.rows, " rows, at most ", 65535 * kBlock);
  auto* partial =
      reinterpret_cast<Real*>(s.workspace(static_cast<size_t>(blocks * 2 * n) * sizeof(Real)));
  launch(s, name, gamma_kernel, dim3(blocks_for(n, kWarp), static_cast<unsigned>(blocks)), kWarp, g,
         rows_of(x), mean, rstd, rows_of(dy), partial);
  map(s, name, n, [=] __device__(int64_t i) {
    for (int64_t block = 0; block < blocks; ++block) {
      dgamma[i] += partial[2 * block * n + i];
      if (dbeta != nullptr) dbeta[i] += partial[(2 * block + 1) * n + i];
    }
  });
}

}  // namespace

void rms_norm(Stream& s, View<const Real> x, View<const Real> gamma, Real eps, View<Real> y,
              View<Real> rstd) {
  const Groups g(x);
  launch(s, "rms_norm", rms_norm_kernel, dim3(row_blocks(g)), threads_for(g.n), g, rows_of(x),
         gamma.data(), eps, rows_of(y), rstd.data());
}

void rms_norm_backward(Stream& s, View<const Real> x, View<const Real> gamma, View<const Real> rstd,
                       View<const Real> dy, View<Real> dx, bool accumulate, View<Real> dgamma) {
  const Groups g(x);
  // First, because dx may alias dy.
  gamma_gradients(s, "rms_norm_backward", g, x, nullptr, rstd.data(), dy, dgamma.data(), nullptr);
  launch(s, "rms_norm_backward", rms_norm_backward_kernel, dim3(row_blocks(g)), threads_for(g.n), g,
         rows_of(x), gamma.data(), rstd.data(), rows_of(dy), accumulate, rows_of(dx));
}

void layer_norm(Stream& s, View<const Real> x, View<const Real> gamma, View<const Real> beta,
                Real eps, View<Real> y, View<Real> mean, View<Real> rstd) {
  const Groups g(x);
  launch(s, "layer_norm", layer_norm_kernel, dim3(row_blocks(g)), threads_for(g.n), g, rows_of(x),
         gamma.data(), beta.data(), eps, rows_of(y), mean.data(), rstd.data());
}

void layer_norm_backward(Stream& s, View<const Real> x, View<const Real> gamma,
                         View<const Real> mean, View<const Real> rstd, View<const Real> dy,
                         View<Real> dx, bool accumulate, View<Real> dgamma, View<Real> dbeta) {
  const Groups g(x);
  gamma_gradients(s, "layer_norm_backward", g, x, mean.data(), rstd.data(), dy, dgamma.data(),
                  dbeta.data());
  launch(s, "layer_norm_backward", layer_norm_backward_kernel, dim3(row_blocks(g)),
         threads_for(g.n), g, rows_of(x), gamma.data(), mean.data(), rstd.data(), rows_of(dy),
         accumulate, rows_of(dx));
}

}  // namespace hecate::kernels::cuda
