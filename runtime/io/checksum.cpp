#include "runtime/io/checksum.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace hecate::io {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78u;
constexpr size_t kSlices = 16;
using Tables = std::array<std::array<uint32_t, 256>, kSlices>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? kPolynomial : 0u);
    tables[0][byte] = crc;
  }
  for (size_t slice = 1; slice < kSlices; ++slice) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[slice - 1][byte];
      tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xffu];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

uint32_t table_step(uint32_t crc, std::byte next) {
  return (crc >> 8) ^ kTables[0][(crc ^ static_cast<uint32_t>(next)) & 0xffu];
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t crc32c_sse42(std::span<const std::byte> bytes,
                                                        uint32_t crc) {
  const std::byte* next = bytes.data();
  size_t left = bytes.size();
  uint64_t state = ~crc;
  for (; left >= 8; left -= 8, next += 8) {
    uint64_t word;
    std::memcpy(&word, next, 8);
    state = _mm_crc32_u64(state, word);
  }
  auto narrow = static_cast<uint32_t>(state);
  for (; left > 0; --left, ++next) narrow = _mm_crc32_u8(narrow, static_cast<uint8_t>(*next));
  return ~narrow;
}

bool has_instruction() {
  return __builtin_cpu_supports("sse4.2") != 0;
}
#else
uint32_t crc32c_sse42(std::span<const std::byte> bytes, uint32_t crc) {
  return crc32c_portable(bytes, crc);
}

bool has_instruction() {
  return false;
}
#endif

}  // namespace

uint32_t crc32c_portable(std::span<const std::byte> bytes, uint32_t crc) {
  const std::byte* next = bytes.data();
  size_t left = bytes.size();
  uint32_t state = ~crc;
  for (; left >= kSlices; left -= kSlices, next += kSlices) {
    std::array<uint8_t, kSlices> block;
    std::memcpy(block.data(), next, kSlices);
    for (size_t i = 0; i < 4; ++i) block[i] ^= static_cast<uint8_t>(state >> (8 * i));
    state = 0;
    for (size_t i = 0; i < kSlices; ++i) state ^= kTables[kSlices - 1 - i][block[i]];
  }
  for (; left > 0; --left, ++next) state = table_step(state, *next);
  return ~state;
}

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc) {
  static const bool fast = has_instruction();
  return fast ? crc32c_sse42(bytes, crc) : crc32c_portable(bytes, crc);
}

std::string checksum_text(uint32_t crc) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text(8, '0');
  for (int digit = 7; digit >= 0; --digit, crc >>= 4)
    text[static_cast<size_t>(digit)] = kDigits[crc & 15u];
  return text;
}

}  // namespace hecate::io
