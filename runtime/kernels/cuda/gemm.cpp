#include <cublas_v2.h>

#include "runtime/device/cuda/cuda_stream.h"
#include "runtime/kernels/cuda/kernels.h"

/// Matrix products by cuBLAS. Its matrices are column-major: a row-major c = op(a) op(b) is the
/// column-major c^T = op(b)^T op(a)^T, so operands swap places and keep their transposes.
namespace hecate::kernels::cuda {
namespace {

using hecate::cuda::cuda_stream;
using hecate::cuda::CudaStream;

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw DeviceError(concat(call, ": ", cublasGetStatusString(status)));
}

cublasStatus_t product(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m,
                       int n, int k, const float* alpha, const float* a, int lda, const float* b,
                       int ldb, const float* beta, float* c, int ldc) {
  return cublasSgemm(handle, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
[[maybe_unused]] cublasStatus_t product(cublasHandle_t handle, cublasOperation_t ta,
                                        cublasOperation_t tb, int m, int n, int k,
                                        const double* alpha, const double* a, int lda,
                                        const double* b, int ldb, const double* beta, double* c,
                                        int ldc) {
  return cublasDgemm(handle, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

int size(int64_t value) {
  HECATE_CHECK(value >= 0 && value <= INT32_MAX, "gemm: dimension ", value,
               " is beyond what cuBLAS takes");
  return static_cast<int>(value);
}

// A handle of the calling thread's lane, following the stream.
cublasHandle_t handle_of(CudaStream& stream) {
  stream.activate();
  return static_cast<cublasHandle_t>(stream.attached(
      [](cudaStream_t own) {
        cublasHandle_t handle = nullptr;
        check(cublasCreate(&handle), "cublasCreate");
        check(cublasSetStream(handle, own), "cublasSetStream");
        return static_cast<void*>(handle);
      },
      [](void* handle) { cublasDestroy(static_cast<cublasHandle_t>(handle)); }));
}

struct Operand {
  const Real* data;
  int64_t stride;
  bool transposed;
};

// c[m,n] = alpha op(a) op(b) + beta c, row-major.
void row_major(CudaStream& stream, int64_t m, int64_t n, int64_t k, Real alpha, const Operand& a,
               const Operand& b, Real beta, Real* c, int64_t stride) {
  if (m == 0 || n == 0) return;
  const auto op = [](bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  // A leading dimension is at least 1, also of an operand without elements.
  const auto leading = [](int64_t value) { return size(value > 0 ? value : 1); };
  check(product(handle_of(stream), op(b.transposed), op(a.transposed), size(n), size(m), size(k),
                &alpha, b.data, leading(b.stride), a.data, leading(a.stride), &beta, c,
                leading(stride)),
        "cublas gemm");
  stream.launched("cublas gemm");
}

}  // namespace

void gemm(Stream& s, Transpose transpose_a, Transpose transpose_b, Real alpha, View<const Real> a,
          View<const Real> b, Real beta, View<Real> c) {
  const bool ta = transpose_a == Transpose::yes, tb = transpose_b == Transpose::yes;
  row_major(cuda_stream(s, "gemm"), c.dim(0), c.dim(1), ta ? a.dim(0) : a.dim(1), alpha,
            {a.data(), a.row_stride(), ta}, {b.data(), b.row_stride(), tb}, beta, c.data(),
            c.row_stride());
}

void grouped_linear(Stream& s, View<const Real> x, std::span<const int64_t> offsets,
                    const ExpertWeights& w, View<Real> y) {
  CudaStream& stream = cuda_stream(s, "grouped_linear");
  for (size_t e = 0; e < w.data.size(); ++e)
    row_major(stream, offsets[e + 1] - offsets[e], w.n, w.k, 1,
              {x.row(offsets[e]), x.row_stride(), false}, {w.data[e], w.k, true}, 0,
              y.row(offsets[e]), y.row_stride());
}

void grouped_linear_backward_input(Stream& s, View<const Real> dy, std::span<const int64_t> offsets,
                                   const ExpertWeights& w, View<Real> dx) {
  CudaStream& stream = cuda_stream(s, "grouped_linear_backward_input");
  for (size_t e = 0; e < w.data.size(); ++e)
    row_major(stream, offsets[e + 1] - offsets[e], w.k, w.n, 1,
              {dy.row(offsets[e]), dy.row_stride(), false}, {w.data[e], w.k, false}, 0,
              dx.row(offsets[e]), dx.row_stride());
}

void grouped_linear_backward_weight(Stream& s, View<const Real> dy, View<const Real> x,
                                    std::span<const int64_t> offsets, const ExpertGradients& dw,
                                    bool accumulate) {
  CudaStream& stream = cuda_stream(s, "grouped_linear_backward_weight");
  for (size_t e = 0; e < dw.data.size(); ++e) {
    const int64_t rows = offsets[e + 1] - offsets[e];
    if (dw.data[e] == nullptr || (rows == 0 && accumulate)) continue;
    row_major(stream, dw.n, dw.k, rows, 1, {dy.row(offsets[e]), dy.row_stride(), true},
              {x.row(offsets[e]), x.row_stride(), false}, accumulate ? Real{1} : Real{0},
              dw.data[e], dw.k);
  }
}

}  // namespace hecate::kernels::cuda
