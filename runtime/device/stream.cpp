#include "runtime/device/stream.h"

#include "runtime/base/error.h"
#include "runtime/memory/aligned.h"

namespace hecate {

CpuStream::~CpuStream() {
  aligned_release(buffer_);
}

std::byte* CpuStream::workspace(size_t bytes) {
  if (bytes > capacity_) {
    aligned_release(buffer_);
    buffer_ = nullptr;
    capacity_ = 0;
    buffer_ = aligned_allocate(bytes);
    capacity_ = bytes;
  }
  return buffer_;
}

CpuStream& cpu_stream(Stream& stream, const char* operation) {
  if (stream.device() != DeviceKind::cpu)
    throw DeviceError(concat(operation, ": no kernel for this device in this build"));
  return static_cast<CpuStream&>(stream);
}

}  // namespace hecate
