#include "runtime/memory/aligned.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "runtime/base/error.h"

namespace hecate {
namespace {
constexpr size_t kHugePage = size_t{2} << 20;
}

std::byte* aligned_allocate(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  const size_t rounded = (std::max(bytes, size_t{1}) + alignment - 1) / alignment * alignment;
  void* block = std::aligned_alloc(alignment, rounded);
  if (block == nullptr) throw DeviceError(concat("out of host memory: ", rounded, " bytes"));
  if (alignment == kHugePage) madvise(block, rounded, MADV_HUGEPAGE);  // best effort
  return static_cast<std::byte*>(block);
}

std::byte* reserve_addresses(size_t bytes) {
  void* block = mmap(nullptr, std::max(bytes, size_t{1}), PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (block == MAP_FAILED) throw DeviceError(concat("out of addresses: ", bytes, " bytes"));
  return static_cast<std::byte*>(block);
}

void release_addresses(std::byte* block, size_t bytes) noexcept {
  munmap(block, std::max(bytes, size_t{1}));
}

void aligned_release(std::byte* block) noexcept {
  std::free(block);
}

}  // namespace hecate
