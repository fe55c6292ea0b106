#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

// NOLINTBEGIN: CUDA's names
/// CUDA's C++ dialect and the part of its runtime API that hecate uses, on the host: the sources
/// under cuda/ folders compile against this header with the C++ compiler, and their kernels run
/// thread by thread on fibers. What it proves: indexing, sums, barriers (a block that waits at
/// different barriers is an error), shuffles, edges of grids, and that nothing reads memory before
/// it was written (fresh memory is all ones: NaN). What it cannot: races between blocks or streams,
/// asynchrony, alignment, speed.
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_in = 1, unsigned y_in = 1, unsigned z_in = 1) : x(x_in), y(y_in), z(z_in) {}
};
struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};

enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2, cudaErrorNotReady = 600 };
enum cudaMemcpyKind { cudaMemcpyDefault = 4 };
inline constexpr unsigned cudaStreamNonBlocking = 1;
using cudaStream_t = struct EmulatedStream*;

struct cudaDeviceProp {
  char name[256] = "emulated on the host";
  int major = 9, minor = 0;
  size_t totalGlobalMem = size_t{1} << 34;
};

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

inline thread_local uint3 threadIdx, blockIdx;
inline thread_local dim3 blockDim, gridDim;

namespace emulated_cuda {
/// Runs `thread` once per thread of the grid, block by block.
void run(const cudaLaunchConfig_t& config, void (*thread)(void*), void* argument);
/// Ends the calling thread's turn until all threads of its block (of its warp) have come here.
void block_barrier();
void warp_barrier();
/// A place of 8 bytes per lane of the calling thread's warp.
void* slot(int lane);
int lane();
/// Lanes of the calling thread's warp that have not returned.
unsigned live_lanes();

template <class T>
T exchange(T value, int from) {
  static_assert(sizeof(T) <= 8);
  std::memcpy(slot(lane()), &value, sizeof(T));
  warp_barrier();
  T result;
  std::memcpy(&result, slot(from), sizeof(T));
  warp_barrier();
  return result;
}
}  // namespace emulated_cuda

inline void __syncthreads() {
  emulated_cuda::block_barrier();
}
inline void __syncwarp() {
  emulated_cuda::warp_barrier();
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return emulated_cuda::exchange(value, emulated_cuda::lane() ^ mask);
}
template <class T>
T __shfl_sync(unsigned, T value, int from) {
  return emulated_cuda::exchange(value, from);
}
inline unsigned __ballot_sync(unsigned, bool vote) {
  unsigned votes = 0;
  const unsigned own = vote ? 1u : 0u;
  std::memcpy(emulated_cuda::slot(emulated_cuda::lane()), &own, sizeof own);
  emulated_cuda::warp_barrier();
  for (int lane = 0; lane < 32; ++lane) {
    unsigned other = 0;
    std::memcpy(&other, emulated_cuda::slot(lane), sizeof other);
    if ((emulated_cuda::live_lanes() >> lane) & 1u) votes |= other << lane;
  }
  emulated_cuda::warp_barrier();
  return votes;
}
inline int __popc(unsigned bits) {
  return __builtin_popcount(bits);
}
inline int __ffs(int bits) {
  return __builtin_ffs(bits);
}

template <class T>
T atomicAdd(T* at, T value) {
  const T before = *at;
  *at = before + value;
  return before;
}
template <class T>
T atomicMin(T* at, T value) {
  const T before = *at;
  if (value < before) *at = value;
  return before;
}

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaMalloc(void** block, size_t bytes);
cudaError_t cudaMallocManaged(void** block, size_t bytes);
cudaError_t cudaFree(void* block);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* block, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest);
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const auto call = [&] { kernel(arguments...); };
  emulated_cuda::run(
      *config, [](void* object) { (*static_cast<decltype(call)*>(object))(); },
      const_cast<void*>(static_cast<const void*>(&call)));
  return cudaSuccess;
}
// NOLINTEND
