#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.cuh"
#include "runtime/kernels/cuda/math.cuh"
#include "runtime/kernels/math/activation.h"

namespace hecate::kernels::cuda {
namespace {

template <class F>
void map_values(Stream& s, const char* name, const View<const Real>& x, const View<Real>& y,
                const F& f) {
  const auto in = rows_of(x);
  const auto out = rows_of(y);
  map_rows(s, name, x.rows(), x.row_size(),
           [=] __device__(int64_t t, int64_t i) { out[t][i] = f(in[t][i]); });
}

template <class F>
void map_slopes(Stream& s, const View<const Real>& x, const View<const Real>& dy,
                const View<Real>& dx, const F& f) {
  const auto in = rows_of(x);
  const auto gradient = rows_of(dy);
  const auto out = rows_of(dx);
  map_rows(s, "activation_backward", x.rows(), x.row_size(),
           [=] __device__(int64_t t, int64_t i) { out[t][i] = gradient[t][i] * f(in[t][i]); });
}

}  // namespace

void activation(Stream& s, Activation kind, View<const Real> x, View<Real> y) {
  switch (kind) {
    case Activation::gelu:
      return map_values(s, "gelu", x, y, math::Gelu<Math>{});
    case Activation::gelu_tanh:
      return map_values(s, "gelu_tanh", x, y, math::GeluTanh<Math>{});
    case Activation::squared_relu:
      return map_values(s, "squared_relu", x, y, math::SquaredRelu<Math>{});
    case Activation::silu:
      return map_values(s, "silu", x, y, math::Silu<Math>{});
  }
}

void activation_backward(Stream& s, Activation kind, View<const Real> x, View<const Real> dy,
                         View<Real> dx) {
  switch (kind) {
    case Activation::gelu:
      return map_slopes(s, x, dy, dx, math::GeluSlope<Math>{});
    case Activation::gelu_tanh:
      return map_slopes(s, x, dy, dx, math::GeluTanhSlope<Math>{});
    case Activation::squared_relu:
      return map_slopes(s, x, dy, dx, math::SquaredReluSlope<Math>{});
    case Activation::silu:
      return map_slopes(s, x, dy, dx, math::SiluSlope<Math>{});
  }
}

void swiglu(Stream& s, View<const Real> gate, View<const Real> up, View<Real> out) {
  const auto g = rows_of(gate);
  const auto u = rows_of(up);
  const auto y = rows_of(out);
  map_rows(s, "swiglu", gate.rows(), gate.row_size(), [=] __device__(int64_t t, int64_t i) {
    y[t][i] = math::Silu<Math>{}(g[t][i]) * u[t][i];
  });
}

void swiglu_backward(Stream& s, View<const Real> gate, View<const Real> up, View<const Real> dout,
                     View<Real> dgate, View<Real> dup) {
  const auto g = rows_of(gate);
  const auto u = rows_of(up);
  const auto d = rows_of(dout);
  const auto dg = rows_of(dgate);
  const auto du = rows_of(dup);
  map_rows(s, "swiglu_backward", gate.rows(), gate.row_size(),
           [=] __device__(int64_t t, int64_t i) {
             const math::SwigluGradient r = math::swiglu_gradient<Math>(g[t][i], u[t][i], d[t][i]);
             dg[t][i] = r.gate;
             du[t][i] = r.up;
           });
}

}  // namespace hecate::kernels::cuda
