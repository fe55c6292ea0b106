#pragma once
#include <cstdint>

#include "collectives/dense/algorithms.h"
#include "collectives/token_exchange.h"

namespace hecate::collectives {

/// One rank's part of a hierarchical exchange. Layouts are in bytes.
Program hierarchical_program(const Group& group, const TokenPlan& plan, const void* in,
                             const dense::Layout& sends, void* out, const dense::Layout& receives,
                             int64_t row_bytes, int64_t segment_bytes);

}  // namespace hecate::collectives
