#pragma once
#include <cstddef>
#include <cstdint>

#include "runtime/device/thread_pool.h"
#include "runtime/memory/device_kind.h"

namespace hecate {

/// What kernels are launched on: an in-order sequence of work on one device. On the CPU a kernel
/// runs at once on the calling thread and the stream's pool; on CUDA it is enqueued.
/// A stream is used by one thread at a time.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual DeviceKind device() const = 0;
  /// Blocks until everything enqueued so far is done.
  virtual void synchronize() = 0;
  /// Device scratch of at least `bytes`, 64-byte aligned, shared by the kernels of this stream:
  /// valid until the next call. Grows on a new high-water mark only.
  virtual std::byte* workspace(size_t bytes) = 0;
  /// Bytes held by workspace() and by the pool's scratch.
  virtual size_t workspace_bytes() const = 0;
};

class CpuStream final : public Stream {
 public:
  /// @param pool outlives the stream and serves no other stream at the same time.
  explicit CpuStream(ThreadPool& pool) : pool_(&pool) {}
  ~CpuStream() override;
  DeviceKind device() const override { return DeviceKind::cpu; }
  void synchronize() override {}
  std::byte* workspace(size_t bytes) override;
  size_t workspace_bytes() const override { return capacity_ + pool_->scratch_bytes(); }
  ThreadPool& pool() { return *pool_; }

 private:
  ThreadPool* pool_;
  std::byte* buffer_ = nullptr;
  size_t capacity_ = 0;
};

/// The stream as a CPU stream. @throws DeviceError naming `operation` for any other device.
CpuStream& cpu_stream(Stream& stream, const char* operation);

}  // namespace hecate
