#pragma once
#include <type_traits>

#include "collectives/reduce_op.h"
#include "runtime/base/host_device.h"

namespace hecate::collectives {

/// a op b, the same on every device; integers wrap.
template <ReduceOp op, class T>
HECATE_HOST_DEVICE T combine(T a, T b) {
  if constexpr (op == ReduceOp::sum) {
    if constexpr (std::is_integral_v<T>) {
      using Bits = std::make_unsigned_t<T>;  // wraps instead of being undefined
      return static_cast<T>(static_cast<Bits>(a) + static_cast<Bits>(b));
    } else {
      return a + b;
    }
  } else if constexpr (op == ReduceOp::max) {
    return a < b ? b : a;
  } else {
    return b < a ? b : a;
  }
}

}  // namespace hecate::collectives
