#pragma once
#include <cstdint>

#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

/// Element-wise activations of feed-forward layers, views [T,F] with row strides.
/// Backwards write dx (may alias x or dy). @throws InvalidArgument where shapes differ.
namespace hecate::kernels {

enum class Activation : uint8_t { gelu, gelu_tanh, squared_relu, silu };

/// gelu: x Phi(x) by erf (Hendrycks & Gimpel, arXiv:1606.08415); gelu_tanh: its tanh form;
/// squared_relu: max(x,0)^2 (So et al., arXiv:2109.08668); silu: x sigmoid(x). y may alias x.
void activation(Stream& s, Activation kind, View<const Real> x, View<Real> y);
void activation_backward(Stream& s, Activation kind, View<const Real> x, View<const Real> dy,
                         View<Real> dx);

/// SwiGLU: out = silu(gate) * up. Source: Shazeer 2020, arXiv:2002.05202, Eq. 5 with beta = 1.
/// gate, up and out are [T,F]; gate and up are usually the halves of one [T,2F] buffer.
void swiglu(Stream& s, View<const Real> gate, View<const Real> up, View<Real> out);
/// dgate and dup may alias gate and up.
void swiglu_backward(Stream& s, View<const Real> gate, View<const Real> up, View<const Real> dout,
                     View<Real> dgate, View<Real> dup);

}  // namespace hecate::kernels
