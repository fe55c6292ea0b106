#include "runtime/io/checksum.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "runtime/base/rng.h"

namespace hecate::io {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::vector<std::byte> noise(size_t count) {
  const CounterRng rng(7, 1);
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(rng.bits(i));
  return bytes;
}

TEST(Checksum, MatchesPublishedVectors) {
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c({}), 0u);
  // RFC 3720, B.4.
  EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0})), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0xff})), 0x62A8AB43u);
  EXPECT_EQ(checksum_text(0x0a9136afu), "0a9136af");
}

TEST(Checksum, TablesAgreeWithTheInstructionAtEveryLengthAndAlignment) {
  const auto bytes = noise(300);
  for (size_t start = 0; start < 9; ++start)
    for (size_t length = 0; length + start <= bytes.size(); ++length) {
      const auto part = std::span(bytes).subspan(start, length);
      ASSERT_EQ(crc32c(part), crc32c_portable(part)) << start << " " << length;
    }
}

TEST(Checksum, ContinuesAcrossPieces) {
  const auto bytes = noise(1000);
  const uint32_t whole = crc32c(bytes);
  for (size_t cut = 0; cut <= bytes.size(); cut += 37) {
    const auto all = std::span<const std::byte>(bytes);
    EXPECT_EQ(crc32c(all.subspan(cut), crc32c(all.first(cut))), whole);
    EXPECT_EQ(crc32c_portable(all.subspan(cut), crc32c_portable(all.first(cut))), whole);
  }
}

TEST(Checksum, SeesEverySingleBitFlip) {
  auto bytes = noise(64);
  const uint32_t whole = crc32c(bytes);
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    EXPECT_NE(crc32c(bytes), whole) << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
  }
}

}  // namespace
}  // namespace hecate::io
