#pragma once
#include <cstdint>

#include "runtime/kernels/adamw.h"

namespace hecate::kernels {

/// Of a piece's gradient g and its last AdamW update u = m_hat / (sqrt(v_hat) + eps), which the
/// moments still hold.
struct LastUpdate {
  double product = 0;  ///< sum of g * u, in f64
  double squares = 0;  ///< sum of u * u
};

/// @param options of that update: `step` is its number, at least 1; rate, decay and gradient scale
///   do not matter.
/// Read before the next update; sums have a fixed order that does not depend on the thread count.
LastUpdate last_update(Stream& s, const AdamW& options, const AdamWPiece& piece);

}  // namespace hecate::kernels
