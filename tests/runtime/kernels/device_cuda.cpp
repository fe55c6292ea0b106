#include "runtime/device/cuda_device.h"
#include "runtime/memory/managed.h"
#include "tests/runtime/kernels/support.h"

namespace hecate::testing {

// Blocking, because the tests look at results at once.
std::unique_ptr<Stream> make_test_stream(ThreadPool&) {
  return cuda::make_stream(0, false, true);
}

std::byte* allocate_for_test(size_t bytes) {
  return cuda::allocate_managed(bytes);
}

void release_of_test(std::byte* block) noexcept {
  cuda::release_managed(block);
}

}  // namespace hecate::testing
