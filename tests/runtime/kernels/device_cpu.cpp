#include "runtime/memory/aligned.h"
#include "tests/runtime/kernels/support.h"

namespace hecate::testing {

std::unique_ptr<Stream> make_test_stream(ThreadPool& pool) {
  return std::make_unique<CpuStream>(pool);
}

std::byte* allocate_for_test(size_t bytes) {
  return aligned_allocate(bytes);
}

void release_of_test(std::byte* block) noexcept {
  aligned_release(block);
}

}  // namespace hecate::testing
