#pragma once
#include <cstdint>

namespace hecate::data {

/// Calls of operator new by this thread so far; linking this file replaces the operator.
uint64_t allocation_count();

}  // namespace hecate::data
