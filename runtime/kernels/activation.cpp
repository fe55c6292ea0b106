#include "runtime/kernels/activation.h"

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/elementwise.h"

namespace hecate::kernels {
namespace {
constexpr int64_t kRows = 8;
}

void activation(Stream& s, Activation kind, View<const Real> x, View<Real> y) {
  HECATE_CHECK(x.shape() == y.shape(), "activation: x ", x.shape(), ", y ", y.shape());
  cpu_stream(s, "activation")
      .pool()
      .parallel_ranges(x.rows(), kRows, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t)
          HECATE_ISA_CALL(activation, kind, x.row_size(), x.row(t), y.row(t));
      });
}

void activation_backward(Stream& s, Activation kind, View<const Real> x, View<const Real> dy,
                         View<Real> dx) {
  HECATE_CHECK(x.shape() == dy.shape() && dy.shape() == dx.shape(), "activation_backward: x ",
               x.shape(), ", dy ", dy.shape(), ", dx ", dx.shape());
  cpu_stream(s, "activation_backward")
      .pool()
      .parallel_ranges(x.rows(), kRows, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t)
          HECATE_ISA_CALL(activation_backward, kind, x.row_size(), x.row(t), dy.row(t), dx.row(t));
      });
}

void swiglu(Stream& s, View<const Real> gate, View<const Real> up, View<Real> out) {
  HECATE_CHECK(gate.shape() == up.shape() && up.shape() == out.shape(), "swiglu: gate ",
               gate.shape(), ", up ", up.shape(), ", out ", out.shape());
  cpu_stream(s, "swiglu")
      .pool()
      .parallel_ranges(gate.rows(), kRows, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t)
          HECATE_ISA_CALL(swiglu, gate.row_size(), gate.row(t), up.row(t), out.row(t));
      });
}

void swiglu_backward(Stream& s, View<const Real> gate, View<const Real> up, View<const Real> dout,
                     View<Real> dgate, View<Real> dup) {
  HECATE_CHECK(gate.shape() == up.shape() && up.shape() == dout.shape() &&
                   dout.shape() == dgate.shape() && dgate.shape() == dup.shape(),
               "swiglu_backward: gate ", gate.shape(), ", up ", up.shape(), ", dout ", dout.shape(),
               ", dgate ", dgate.shape(), ", dup ", dup.shape());
  cpu_stream(s, "swiglu_backward")
      .pool()
      .parallel_ranges(gate.rows(), kRows, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t)
          HECATE_ISA_CALL(swiglu_backward, gate.row_size(), gate.row(t), up.row(t), dout.row(t),
                          dgate.row(t), dup.row(t));
      });
}

}  // namespace hecate::kernels
