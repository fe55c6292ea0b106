#include "launcher/convert/elements.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

// IEEE 754 binary16: 1 sign, 5 exponent and 10 fraction bits.
float half_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu, fraction = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent > 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float tiny = std::ldexp(static_cast<float>(fraction), -24);
  return sign != 0 ? -tiny : tiny;
}

template <class T>
T load(const std::byte* source) {
  T value;
  std::memcpy(&value, source, sizeof(T));
  return value;
}

template <class T, class Convert>
void decode_as(const std::byte* source, std::span<Real> out, Convert convert) {
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<Real>(convert(load<T>(source + i * sizeof(T))));
}

}  // namespace

bool is_decodable(std::string_view dtype) {
  return dtype == "F64" || dtype == "F32" || dtype == "BF16" || dtype == "F16";
}

void decode(std::string_view dtype, std::span<const std::byte> bytes, std::span<Real> out) {
  const auto same = [](auto value) { return value; };
  const size_t width = dtype == "F64" ? 8 : dtype == "F32" ? 4 : 2;
  HECATE_CHECK(is_decodable(dtype) && bytes.size() == width * out.size(), "decode: ", bytes.size(),
               " bytes of ", dtype, " for ", out.size(), " elements");
  if (dtype == "F64")
    decode_as<double>(bytes.data(), out, same);
  else if (dtype == "F32")
    decode_as<float>(bytes.data(), out, same);
  else if (dtype == "BF16")
    decode_as<bf16>(bytes.data(), out, [](bf16 value) { return static_cast<float>(value); });
  else
    decode_as<uint16_t>(bytes.data(), out, half_to_float);
}

void encode(DType dtype, std::span<const Real> values, std::vector<std::byte>& bytes) {
  HECATE_CHECK(dtype == DType::f32 || dtype == DType::bf16, "encode: ", name_of(dtype));
  bytes.resize(values.size() * size_of(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<float>(values[i]);
    const bf16 rounded(value);
    if (dtype == DType::f32)
      std::memcpy(bytes.data() + i * sizeof(value), &value, sizeof(value));
    else
      std::memcpy(bytes.data() + i * sizeof(rounded), &rounded, sizeof(rounded));
  }
}

}  // namespace hecate::launcher
