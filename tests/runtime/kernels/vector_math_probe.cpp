#include "tests/runtime/kernels/vector_math_probe.h"

#include "runtime/kernels/cpu/simd/vector_math.h"

namespace hecate::kernels::cpu::HECATE_ISA_NS {

void probe(Function function, int64_t n, const Real* x, Real* y) {
  switch (function) {
    case Function::exp:
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) y[i] = vexp(x[i]);
      break;
    case Function::exp_softmax:
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) y[i] = vexp_softmax(x[i]);
      break;
    case Function::tanh:
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) y[i] = vtanh(x[i]);
      break;
    case Function::sigmoid:
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) y[i] = vsigmoid(x[i]);
      break;
    case Function::erf:
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) y[i] = verf(x[i]);
      break;
  }
}

}  // namespace hecate::kernels::cpu::HECATE_ISA_NS
