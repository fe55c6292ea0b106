#pragma once
#include "runtime/base/host_device.h"
#include "runtime/base/real.h"

/// Activations of one element and their slopes, shared by the devices. M supplies exp, erf and
/// sigmoid of the device (of an instruction set on the CPU); no std:: function is called here.
/// Sources: gelu arXiv:1606.08415, squared relu arXiv:2109.08668, swiglu arXiv:2002.05202 Eq. 5.
namespace hecate::kernels::math {

// (1 + tanh(u)) / 2 is the sigmoid of 2u, which needs one exponential and no case near 0.
template <class M>
HECATE_HOST_DEVICE inline Real gelu_tanh_gate(Real x) {
  return M::sigmoid(Real(2) * Real(0.7978845608028654) * (x + Real(0.044715) * x * x * x));
}

template <class M>
struct GeluTanh {
  HECATE_HOST_DEVICE Real operator()(Real x) const { return x * gelu_tanh_gate<M>(x); }
};
template <class M>
struct GeluTanhSlope {
  HECATE_HOST_DEVICE Real operator()(Real x) const {
    const Real gate = gelu_tanh_gate<M>(x);
    return gate + Real(2) * x * gate * (Real(1) - gate) * Real(0.7978845608028654) *
                      (Real(1) + Real(3) * Real(0.044715) * x * x);
  }
};

template <class M>
struct Gelu {
  HECATE_HOST_DEVICE Real operator()(Real x) const {
    return Real(0.5) * x * (Real(1) + M::erf(x * Real(0.7071067811865476)));
  }
};
template <class M>
struct GeluSlope {
  HECATE_HOST_DEVICE Real operator()(Real x) const {
    return Real(0.5) * (Real(1) + M::erf(x * Real(0.7071067811865476))) +
           x * Real(0.3989422804014327) * M::exp(Real(-0.5) * x * x);
  }
};

// Written so that NaN stays NaN.
template <class M>
struct SquaredRelu {
  HECATE_HOST_DEVICE Real operator()(Real x) const { return x < 0 ? Real(0) : x * x; }
};
template <class M>
struct SquaredReluSlope {
  HECATE_HOST_DEVICE Real operator()(Real x) const { return x < 0 ? Real(0) : Real(2) * x; }
};

template <class M>
struct Silu {
  HECATE_HOST_DEVICE Real operator()(Real x) const { return x * M::sigmoid(x); }
};
template <class M>
struct SiluSlope {
  HECATE_HOST_DEVICE Real operator()(Real x) const {
    const Real s = M::sigmoid(x);
    return s * (Real(1) + x * (Real(1) - s));
  }
};

struct SwigluGradient {
  Real gate, up;
};
template <class M>
HECATE_HOST_DEVICE inline SwigluGradient swiglu_gradient(Real gate, Real up, Real dout) {
  const Real s = M::sigmoid(gate);
  return {dout * up * s * (Real(1) + gate * (Real(1) - s)), dout * gate * s};
}

}  // namespace hecate::kernels::math
