#pragma once
#include <cuda_runtime_api.h>

#include "runtime/device/stream.h"

/// The CUDA stream behind hecate::Stream; for sources under cuda/ folders only.
namespace hecate::cuda {

/// @throws DeviceError naming the call and CUDA's reason unless `result` is success.
void check(cudaError_t result, const char* call);

class CudaStream final : public Stream {
 public:
  CudaStream(int device, bool urgent, bool blocking);
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  DeviceKind device() const override { return DeviceKind::cuda; }
  void synchronize() override;
  /// Device memory, which the host cannot touch.
  std::byte* workspace(size_t bytes) override;
  size_t workspace_bytes() const override { return capacity_; }

  cudaStream_t get() const { return stream_; }
  /// Makes the stream's device the calling thread's.
  void activate() const;
  /// Something made once for this stream (a library's handle) and destroyed with it.
  void* attached(void* (*make)(cudaStream_t), void (*destroy)(void*));
  /// Called after each launch: finds its error, and waits for it on a blocking stream.
  void launched(const char* operation);

 private:
  int device_;
  bool blocking_;
  cudaStream_t stream_ = nullptr;
  std::byte* buffer_ = nullptr;
  size_t capacity_ = 0;
  void* attached_ = nullptr;
  void (*destroy_)(void*) = nullptr;
};

/// @throws DeviceError naming `operation` if the stream is of another device.
CudaStream& cuda_stream(Stream& stream, const char* operation);

}  // namespace hecate::cuda
