#include "launcher/convert/elements.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

template <class T>
std::vector<Real> decoded(const char* dtype, const std::vector<T>& values) {
  // One byte off, as files by other writers may have it.
  std::vector<std::byte> bytes(values.size() * sizeof(T) + 1);
  std::memcpy(bytes.data() + 1, values.data(), values.size() * sizeof(T));
  std::vector<Real> out(values.size());
  decode(dtype, std::span(bytes).subspan(1), out);
  return out;
}

TEST(Elements, HalvesDecodeExactly) {
  const std::vector<uint16_t> bits = {0x0000, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x0400,
                                      0x0001, 0x83ff, 0x7c00, 0xfc00, 0x8000};
  const std::vector<double> expected = {0,
                                        1,
                                        -2,
                                        0.333251953125,
                                        65504,
                                        std::ldexp(1, -14),
                                        std::ldexp(1, -24),
                                        -std::ldexp(1023, -24),
                                        INFINITY,
                                        -INFINITY,
                                        -0.0};
  const std::vector<Real> out = decoded("F16", bits);
  for (size_t i = 0; i < bits.size(); ++i) {
    EXPECT_EQ(static_cast<double>(out[i]), expected[i]) << std::hex << bits[i];
    EXPECT_EQ(std::signbit(out[i]), std::signbit(expected[i])) << std::hex << bits[i];
  }
  EXPECT_TRUE(std::isnan(decoded("F16", std::vector<uint16_t>{0x7e01})[0]));
}

TEST(Elements, OtherDtypesDecodeToTheNearestReal) {
  EXPECT_EQ(decoded("F32", std::vector<float>{0.1f, -3})[0], static_cast<Real>(0.1f));
  EXPECT_EQ(decoded("F64", std::vector<double>{0.1})[0], static_cast<Real>(0.1));
  EXPECT_EQ(decoded("BF16", std::vector<bf16>{bf16(1.5f)})[0], Real(1.5));
  EXPECT_FALSE(is_decodable("I32"));
  EXPECT_THROW(decoded("F32", std::vector<bf16>{bf16(1)}), InvalidArgument);
}

TEST(Elements, EncodingRounds) {
  std::vector<std::byte> bytes;
  const std::vector<Real> values = {Real(1), Real(1.00390625), Real(1.0117188), Real(-0.5)};
  encode(DType::bf16, values, bytes);
  const std::vector<uint16_t> expected = {0x3f80, 0x3f80, 0x3f82, 0xbf00};
  ASSERT_EQ(bytes.size(), 8u);
  EXPECT_EQ(std::memcmp(bytes.data(), expected.data(), 8), 0);
  encode(DType::f32, values, bytes);
  std::vector<Real> back(values.size());
  decode("F32", bytes, back);
  for (size_t i = 0; i < values.size(); ++i)
    EXPECT_EQ(static_cast<float>(back[i]), static_cast<float>(values[i]));
  EXPECT_THROW(encode(DType::i32, values, bytes), InvalidArgument);
}

}  // namespace
}  // namespace hecate::launcher
