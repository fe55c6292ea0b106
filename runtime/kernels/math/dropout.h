#pragma once
#include <cstdint>

#include "runtime/base/host_device.h"
#include "runtime/base/real.h"

namespace hecate::kernels::math {

/// Inverted dropout of one element: a hash of (seed, stream, element) decides, two rounds of a
/// 64-bit finaliser (Stafford's mix 13), cheap enough to repeat in backward. M keeps the code of
/// one device or instruction set apart from that of others.
template <class M>
struct Dropout {
  uint64_t key, limit;
  Real factor;

  HECATE_HOST_DEVICE Dropout(Real rate, uint64_t seed, uint64_t stream)
      : key((seed * 0x9E3779B97F4A7C15ull) ^ (stream * 0xD1B54A32D192ED03ull)),
        limit(static_cast<uint64_t>(static_cast<double>(rate) * 16777216.0)),
        factor(Real(1) / (Real(1) - rate)) {}

  HECATE_HOST_DEVICE Real operator()(Real x, uint64_t element) const {
    uint64_t h = element * 0x9E3779B97F4A7C15ull + key;
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9ull;
    h = (h ^ (h >> 27)) * 0x94D049BB133111EBull;
    h = h ^ (h >> 31);
    return (h >> 40) < limit ? Real(0) : x * factor;
  }
};

}  // namespace hecate::kernels::math
