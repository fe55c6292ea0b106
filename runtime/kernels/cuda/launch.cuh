#pragma once
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "runtime/base/real.h"
#include "runtime/device/cuda/cuda_stream.h"
#include "runtime/tensor/tensor_view.h"

/// How the CUDA kernels are launched, and the sums inside a block or a warp.
namespace hecate::kernels::cuda {

using hecate::cuda::check;
using hecate::cuda::cuda_stream;
using hecate::cuda::CudaStream;

inline constexpr int kWarp = 32;
inline constexpr int kThreads = 256;
inline constexpr unsigned kAllLanes = 0xffffffffu;

/// A view as kernels see it.
template <class T>
struct Rows {
  T* data = nullptr;
  int64_t stride = 0;
  __host__ __device__ T* operator[](int64_t row) const { return data + row * stride; }
};
template <class T>
Rows<T> rows_of(const View<T>& view) {
  return {view.data(), view.row_stride()};
}

/// Enqueues kernel(args...) on `blocks` x `threads`; nothing for an empty grid.
template <class... Parameters, class... Arguments>
void launch(Stream& s, const char* name, void (*kernel)(Parameters...), dim3 blocks, int threads,
            const Arguments&... arguments) {
  CudaStream& stream = cuda_stream(s, name);
  if (blocks.x == 0 || blocks.y == 0) return;
  stream.activate();
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream.get();
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), name);
  stream.launched(name);
}

/// Blocks of a grid-stride loop over `count`.
inline unsigned blocks_for(int64_t count, int64_t per_block = kThreads) {
  return static_cast<unsigned>(std::min<int64_t>((count + per_block - 1) / per_block, 1 << 16));
}

template <class F>
__global__ void map_kernel(int64_t count, F f) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * blockDim.x)
    f(i);
}
/// f(i) for i in [0, count), in parallel.
template <class F>
void map(Stream& s, const char* name, int64_t count, const F& f) {
  launch(s, name, map_kernel<F>, dim3(blocks_for(count)), kThreads, count, f);
}

template <class F>
__global__ void map_rows_kernel(int64_t rows, int64_t width, F f) {
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y)
    for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < width;
         i += int64_t{gridDim.x} * blockDim.x)
      f(row, i);
}
/// f(row, column) for every element of a [rows, width] matrix, in parallel.
template <class F>
void map_rows(Stream& s, const char* name, int64_t rows, int64_t width, const F& f) {
  const int threads = width >= kThreads ? kThreads : (width > 64 ? 128 : 64);
  const dim3 grid(blocks_for(width, threads),
                  static_cast<unsigned>(std::min<int64_t>(rows, 65535)));
  launch(s, name, map_rows_kernel<F>, grid, threads, rows, width, f);
}

/// The sum over the lanes of a warp, in every lane; all lanes call.
template <class T>
__device__ T warp_sum(T value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}
template <class T>
__device__ T warp_max(T value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, value, distance);
    value = other > value ? other : value;
  }
  return value;
}

/// The same over a block of whole warps, in every thread; all threads call. `slots` is shared
/// memory of kWarp elements that no other reduction uses at the same time.
template <class T>
__device__ T block_sum(T value, T* slots) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  value = warp_sum(value);
  __syncthreads();
  if (lane == 0) slots[warp] = value;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  return warp_sum(lane < warps ? slots[lane] : T{0});
}
template <class T>
__device__ T block_max(T value, T* slots) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  value = warp_max(value);
  __syncthreads();
  if (lane == 0) slots[warp] = value;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  return warp_max(lane < warps ? slots[lane] : slots[0]);
}

/// Copies `count` elements of device memory to the host and waits for the stream.
template <class T>
void read_back(Stream& s, const T* from, T* to, int64_t count) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(T), cudaMemcpyDefault,
                        cuda_stream(s, "read_back").get()),
        "cudaMemcpyAsync");
  s.synchronize();
}

}  // namespace hecate::kernels::cuda
