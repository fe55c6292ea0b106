#include "runtime/base/error.h"
#include "runtime/device/cuda_device.h"
#include "runtime/memory/managed.h"

namespace hecate::cuda {
namespace {
constexpr const char* kAbsent =
    "this build has no CUDA: configure with the preset cuda (HECATE_WITH_CUDA=ON)";
}

int device_count() noexcept {
  return 0;
}

std::string why_none() {
  return kAbsent;
}

DeviceInfo device_info(int) {
  throw DeviceError(kAbsent);
}

std::unique_ptr<Stream> make_stream(int, bool, bool) {
  throw DeviceError(kAbsent);
}

std::byte* allocate_managed(size_t) {
  throw DeviceError(kAbsent);
}

void release_managed(std::byte*) noexcept {}

}  // namespace hecate::cuda
