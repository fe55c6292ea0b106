#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

/// The little of CUDA that communication needs, with errors and owners.
namespace hecate::collectives::nccl {

/// @throws DeviceError with the library's message unless `result` is success.
void check_cuda(cudaError_t result, const char* call);

/// Makes a device the calling thread's for a scope.
class DeviceScope {
 public:
  explicit DeviceScope(int device);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int before_ = 0;
};

/// Whether kernels can use the address as it is.
bool is_device_memory(const void* data);

/// A stream of the current device that waits for no other.
class Stream {
 public:
  /// @param urgent of the device's highest priority instead of its lowest.
  explicit Stream(bool urgent);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// A place in a stream.
class Event {
 public:
  /// Of the current device.
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream);
  /// @throws DeviceError when something before it failed.
  bool reached() const;

 private:
  cudaEvent_t event_ = nullptr;
};

/// Device memory whose life is ordered by a stream.
class StreamMemory {
 public:
  StreamMemory() = default;
  StreamMemory(int64_t bytes, cudaStream_t stream);
  /// Usable by what was enqueued before; freed after it.
  ~StreamMemory();
  StreamMemory(StreamMemory&& other) noexcept;
  StreamMemory& operator=(StreamMemory&& other) noexcept;
  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

/// Lets the current device's allocator keep what is freed, so that later steps allocate nothing.
void keep_freed_memory(int device);

}  // namespace hecate::collectives::nccl
