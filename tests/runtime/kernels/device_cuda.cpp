#include "runtime/device/cuda_device.h"
#include "tests/runtime/kernels/support.h"

namespace hecate::testing {

// Blocking, because the tests look at results at once.
std::unique_ptr<Stream> make_test_stream(ThreadPool&) {
  return cuda::make_stream(0, false, true);
}

}  // namespace hecate::testing
