#pragma once
#include "runtime/base/host_device.h"
#include "runtime/base/real.h"

namespace hecate::kernels {
struct AdamW;
}

namespace hecate::kernels::math {

/// One AdamW step in the form p = keep p - step_size m / (sqrt(v) root_correction + eps).
/// Source: Loshchilov & Hutter 2017, arXiv:1711.05101, algorithm 2.
struct AdamWConstants {
  Real gradient_scale, beta1, rest1, beta2, rest2;  ///< rest = 1 - beta, rounded once from f64
  Real step_size, root_correction, eps, keep;
};

/// The constants of a step; on the host.
AdamWConstants adamw_constants(const AdamW& options);

/// M supplies sqrt.
template <class M>
HECATE_HOST_DEVICE inline void adamw(const AdamWConstants& c, Real& p, Real g, Real& m, Real& v) {
  const Real gradient = g * c.gradient_scale;
  const Real first = c.beta1 * m + c.rest1 * gradient;
  const Real second = c.beta2 * v + c.rest2 * gradient * gradient;
  m = first;
  v = second;
  const Real root = M::sqrt(second) * c.root_correction + c.eps;
  p = c.keep * p - c.step_size * first / root;
}

}  // namespace hecate::kernels::math
