#include <cstdlib>

#include "cublas_v2.h"
#include "cuda_runtime.h"

// NOLINTBEGIN: CUDA's names
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) {
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "no error";
}

// Fresh memory is all ones, which reads as NaN.
cudaError_t cudaMalloc(void** block, size_t bytes) {
  *block = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (*block == nullptr) return cudaErrorMemoryAllocation;
  std::memset(*block, 0xff, bytes);
  return cudaSuccess;
}
cudaError_t cudaMallocManaged(void** block, size_t bytes) {
  return cudaMalloc(block, bytes);
}
cudaError_t cudaFree(void* block) {
  std::free(block);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = *total = cudaDeviceProp{}.totalGlobalMem;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* block, int value, size_t bytes, cudaStream_t) {
  if (bytes > 0) std::memset(block, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest) {
  *lowest = 0;
  *highest = -5;
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return cudaSuccess;
}

namespace {

template <class T>
cublasStatus_t product(cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, T alpha,
                       const T* a, int lda, const T* b, int ldb, T beta, T* c, int ldc) {
  const bool a_fits = lda >= (ta == CUBLAS_OP_N ? (m > 1 ? m : 1) : (k > 1 ? k : 1));
  const bool b_fits = ldb >= (tb == CUBLAS_OP_N ? (k > 1 ? k : 1) : (n > 1 ? n : 1));
  if (m < 0 || n < 0 || k < 0 || !a_fits || !b_fits || ldc < (m > 1 ? m : 1))
    return CUBLAS_STATUS_INVALID_VALUE;
  for (ptrdiff_t j = 0; j < n; ++j)
    for (ptrdiff_t i = 0; i < m; ++i) {
      double sum = 0;
      for (ptrdiff_t l = 0; l < k; ++l)
        sum += static_cast<double>(ta == CUBLAS_OP_N ? a[i + l * lda] : a[l + i * lda]) *
               static_cast<double>(tb == CUBLAS_OP_N ? b[l + j * ldb] : b[j + l * ldb]);
      T& out = c[i + j * ldc];
      const double kept = beta == T(0) ? 0.0 : static_cast<double>(beta) * static_cast<double>(out);
      out = static_cast<T>(static_cast<double>(alpha) * sum + kept);
    }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "success" : "invalid value";
}
cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  static char anything;
  *handle = reinterpret_cast<cublasHandle_t>(&anything);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream(cublasHandle_t, cudaStream_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSgemm(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                           int k, const float* alpha, const float* a, int lda, const float* b,
                           int ldb, const float* beta, float* c, int ldc) {
  return product(ta, tb, m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc);
}
cublasStatus_t cublasDgemm(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                           int k, const double* alpha, const double* a, int lda, const double* b,
                           int ldb, const double* beta, double* c, int ldc) {
  return product(ta, tb, m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc);
}
// NOLINTEND
