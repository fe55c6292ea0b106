#pragma once
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/base/real.h"
#include "runtime/tensor/dtype.h"

namespace hecate::launcher {

/// Whether decode() reads elements of this safetensors dtype: F64, F32, BF16, F16.
bool is_decodable(std::string_view dtype);

/// Little-endian elements as Real: exact but for F64 where Real is float.
/// @param bytes of out.size() elements; any alignment.
void decode(std::string_view dtype, std::span<const std::byte> bytes, std::span<Real> out);

/// Elements as F32 or BF16, rounded to the nearest, in `bytes` (resized).
void encode(DType dtype, std::span<const Real> values, std::vector<std::byte>& bytes);

}  // namespace hecate::launcher
