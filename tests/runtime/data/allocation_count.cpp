#include "allocation_count.h"

#include <cstdlib>
#include <new>

namespace {
thread_local uint64_t count = 0;
}  // namespace

// Kept out of the tests' own files: inlined there, the pair looks mismatched to the compiler.
void* operator new(size_t size) {
  ++count;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace hecate::data {

uint64_t allocation_count() {
  return count;
}

}  // namespace hecate::data
