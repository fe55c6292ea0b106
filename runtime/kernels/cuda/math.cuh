#pragma once
#include <cmath>

#include "runtime/base/host_device.h"
#include "runtime/base/real.h"

namespace hecate::kernels::cuda {

/// What the shared element math (runtime/kernels/math) calls on CUDA.
struct Math {
  static __device__ Real exp(Real x) { return std::exp(x); }
  static __device__ Real erf(Real x) { return std::erf(x); }
  static __device__ Real sqrt(Real x) { return std::sqrt(x); }
  static __device__ Real sigmoid(Real x) { return Real(1) / (Real(1) + std::exp(-x)); }
};

}  // namespace hecate::kernels::cuda
