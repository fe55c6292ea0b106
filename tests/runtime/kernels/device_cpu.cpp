#include "tests/runtime/kernels/support.h"

namespace hecate::testing {

std::unique_ptr<Stream> make_test_stream(ThreadPool& pool) {
  return std::make_unique<CpuStream>(pool);
}

}  // namespace hecate::testing
