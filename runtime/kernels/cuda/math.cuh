#pragma once
#include <math.h>

#include "runtime/base/host_device.h"
#include "runtime/base/real.h"

namespace hecate::kernels::cuda {

/// What the shared element math (runtime/kernels/math) calls on CUDA.
struct Math {
  static __device__ Real exp(Real x) { return ::exp(x); }
  static __device__ Real erf(Real x) { return ::erf(x); }
  static __device__ Real sqrt(Real x) { return ::sqrt(x); }
  static __device__ Real sigmoid(Real x) { return Real(1) / (Real(1) + ::exp(-x)); }
};

}  // namespace hecate::kernels::cuda
