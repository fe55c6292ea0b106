#pragma once
#include <cstdint>

#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

/// Rotary position embedding, half-split pairing (x[i], x[i + N/2]) as in Hugging Face's Llama.
/// Source: Su et al. 2021, arXiv:2104.09864, Eq. 34.
namespace hecate::kernels {

/// table [P, N]: cos of position p and pair i at [p, i], sin at [p, N/2 + i], i < N/2;
/// angle = p * theta^(-2i/N).
void rope_table(Stream& s, double theta, View<Real> table);

/// Rotates x [T,G,N] in place by the angle of position[t] in [0, P). N is even.
/// inverse = true rotates back: the gradient of the forward.
/// @throws InvalidArgument where shapes differ or N is odd.
void rope(Stream& s, View<Real> x, View<const int32_t> positions, View<const Real> table,
          bool inverse);

}  // namespace hecate::kernels
