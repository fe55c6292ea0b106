#include "runtime/kernels/activation.h"

#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/pieces.h"
#include "runtime/kernels/cpu/simd/elementwise.h"
#include "runtime/kernels/cuda/kernels.h"

namespace hecate::kernels {

void activation(Stream& s, Activation kind, View<const Real> x, View<Real> y) {
  HECATE_CHECK(y.shape() == x.shape(), "activation: shapes differ: ", x.shape(), " and ",
               y.shape());
  if (s.device() == DeviceKind::cuda) return cuda::activation(s, kind, x, y);
  cpu::for_pieces(
      s, "activation",
      [kind](int64_t n, const Real* in, Real* out) {
        HECATE_ISA_CALL(activation, kind, n, in, out);
      },
      x, y);
}

void activation_backward(Stream& s, Activation kind, View<const Real> x, View<const Real> dy,
                         View<Real> dx) {
  HECATE_CHECK(dy.shape() == x.shape() && dx.shape() == x.shape(),
               "activation_backward: shapes differ: ", x.shape(), ", ", dy.shape(), " and ",
               dx.shape());
  if (s.device() == DeviceKind::cuda) return cuda::activation_backward(s, kind, x, dy, dx);
  cpu::for_pieces(
      s, "activation_backward",
      [kind](int64_t n, const Real* in, const Real* gradient, Real* out) {
        HECATE_ISA_CALL(activation_backward, kind, n, in, gradient, out);
      },
      x, dy, dx);
}

void swiglu(Stream& s, View<const Real> gate, View<const Real> up, View<Real> out) {
  HECATE_CHECK(up.shape() == gate.shape() && out.shape() == gate.shape(),
               "swiglu: shapes differ: ", gate.shape(), ", ", up.shape(), " and ", out.shape());
  if (s.device() == DeviceKind::cuda) return cuda::swiglu(s, gate, up, out);
  cpu::for_pieces(
      s, "swiglu",
      [](int64_t n, const Real* g, const Real* u, Real* y) { HECATE_ISA_CALL(swiglu, n, g, u, y); },
      gate, up, out);
}

void swiglu_backward(Stream& s, View<const Real> gate, View<const Real> up, View<const Real> dout,
                     View<Real> dgate, View<Real> dup) {
  HECATE_CHECK(up.shape() == gate.shape() && dout.shape() == gate.shape() &&
                   dgate.shape() == gate.shape() && dup.shape() == gate.shape(),
               "swiglu_backward: shapes differ: ", gate.shape(), ", ", up.shape(), ", ",
               dout.shape(), ", ", dgate.shape(), " and ", dup.shape());
  if (s.device() == DeviceKind::cuda) return cuda::swiglu_backward(s, gate, up, dout, dgate, dup);
  cpu::for_pieces(
      s, "swiglu_backward",
      [](int64_t n, const Real* g, const Real* u, const Real* dy, Real* dg, Real* du) {
        HECATE_ISA_CALL(swiglu_backward, n, g, u, dy, dg, du);
      },
      gate, up, dout, dgate, dup);
}

}  // namespace hecate::kernels
