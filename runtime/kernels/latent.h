#pragma once
#include <cstdint>

#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

/// Data movement of multi-head latent attention: keys and values leave the up-projection
/// interleaved by head, and every head shares one rotary key.
/// Source: DeepSeek-V2, arXiv:2405.04434, Eq. 9 to 19.
namespace hecate::kernels {

/// up [T,H,P+Nv] (per head P position-free key values, then the value), shared [T,Q] ->
/// keys [T,H,P+Q], values [T,H,Nv]. `shared` may have a row stride.
void latent_split(Stream& s, View<const Real> up, View<const Real> shared, View<Real> keys,
                  View<Real> values);
/// The gradient: dup and dshared (the sum over heads, in head order) are written.
void latent_split_backward(Stream& s, View<const Real> dkeys, View<const Real> dvalues,
                           View<Real> dup, View<Real> dshared);

}  // namespace hecate::kernels
