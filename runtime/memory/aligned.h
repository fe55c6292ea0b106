#pragma once
#include <cstddef>

namespace hecate {

inline constexpr size_t kAlignment = 64;

/// `bytes` rounded up to a multiple of the alignment.
constexpr size_t align_up(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// Host memory aligned to a cache line; large blocks ask for huge pages.
/// @throws DeviceError with the size when the machine has none left.
std::byte* aligned_allocate(size_t bytes);
/// Addresses without memory behind them: touching them is a fault. @throws DeviceError when even
/// addresses are short.
std::byte* reserve_addresses(size_t bytes);
void release_addresses(std::byte* block, size_t bytes) noexcept;

/// Frees what aligned_allocate gave; null is allowed.
void aligned_release(std::byte* block) noexcept;

}  // namespace hecate
