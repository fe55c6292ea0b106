#include "runtime/device/cuda/cuda_stream.h"

#include "runtime/base/error.h"
#include "runtime/device/cuda_device.h"
#include "runtime/memory/managed.h"

namespace hecate::cuda {

void check(cudaError_t result, const char* call) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // not to be found by a later call
  throw DeviceError(concat(call, ": ", cudaGetErrorString(result)));
}

int device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();  // no driver, or no device
  return 0;
}

std::string why_none() {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result != cudaSuccess) {
    cudaGetLastError();
    return cudaGetErrorString(result);
  }
  return count > 0 ? "" : "no CUDA device";
}

DeviceInfo device_info(int index) {
  const int count = device_count();
  if (index < 0 || index >= count)
    throw DeviceError(concat("CUDA device ", index, " asked for, ", count, " present",
                             count == 0 ? concat(" (", why_none(), ")") : ""));
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  return {.name = properties.name,
          .major = properties.major,
          .minor = properties.minor,
          .memory_bytes = properties.totalGlobalMem};
}

std::unique_ptr<Stream> make_stream(int index, bool urgent, bool blocking) {
  device_info(index);
  return std::make_unique<CudaStream>(index, urgent, blocking);
}

std::byte* allocate_managed(size_t bytes) {
  void* block = nullptr;
  const cudaError_t result = cudaMallocManaged(&block, bytes > 0 ? bytes : 1);
  if (result == cudaSuccess) return static_cast<std::byte*>(block);
  cudaGetLastError();
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  throw DeviceError(concat("out of CUDA memory: ", bytes, " bytes asked for, ", free, " of ", total,
                           " free (", cudaGetErrorString(result), ")"));
}

void release_managed(std::byte* block) noexcept {
  cudaFree(block);
}

CudaStream::CudaStream(int device, bool urgent, bool blocking)
    : device_(device), blocking_(blocking) {
  activate();
  int lowest = 0, highest = 0;
  check(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "cudaDeviceGetStreamPriorityRange");
  check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, urgent ? highest : lowest),
        "cudaStreamCreateWithPriority");
}

CudaStream::~CudaStream() {
  cudaStreamSynchronize(stream_);
  if (attached_ != nullptr) destroy_(attached_);
  cudaFree(buffer_);
  cudaStreamDestroy(stream_);
}

void CudaStream::activate() const {
  check(cudaSetDevice(device_), "cudaSetDevice");
}

void CudaStream::synchronize() {
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

std::byte* CudaStream::workspace(size_t bytes) {
  if (bytes <= capacity_) return buffer_;
  activate();
  synchronize();
  check(cudaFree(buffer_), "cudaFree");
  buffer_ = nullptr;
  capacity_ = 0;
  void* block = nullptr;
  check(cudaMalloc(&block, bytes), "cudaMalloc of a workspace");
  buffer_ = static_cast<std::byte*>(block);
  capacity_ = bytes;
  return buffer_;
}

void* CudaStream::attached(void* (*make)(cudaStream_t), void (*destroy)(void*)) {
  if (attached_ == nullptr) {
    attached_ = make(stream_);
    destroy_ = destroy;
  }
  return attached_;
}

void CudaStream::launched(const char* operation) {
  check(cudaGetLastError(), operation);
  if (blocking_) check(cudaStreamSynchronize(stream_), operation);
}

CudaStream& cuda_stream(Stream& stream, const char* operation) {
  if (stream.device() != DeviceKind::cuda)
    throw DeviceError(concat(operation, ": a CUDA kernel on a stream of another device"));
  return static_cast<CudaStream&>(stream);
}

}  // namespace hecate::cuda
