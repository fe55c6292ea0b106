#pragma once
#include <cstdint>
#include <string_view>

namespace hecate::collectives {

enum class ReduceOp : uint8_t { sum, max, min };
std::string_view name_of(ReduceOp op);

}  // namespace hecate::collectives
