#pragma once
#include <cstdint>

#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

namespace hecate::kernels {

/// Keys or values of new tokens into a cache: row t of x [T,G,N] goes to cache [B,P,G,N] at
/// sequence t / (T/B), position positions[t]. T is a multiple of B; x may have a row stride; two
/// tokens of a sequence have different positions.
/// @throws InvalidArgument where shapes differ or a position is outside [0, P).
void cache_rows(Stream& s, View<const Real> x, View<const int32_t> positions, View<Real> cache);

}  // namespace hecate::kernels
