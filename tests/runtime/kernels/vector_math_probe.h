#pragma once
#include <cstdint>

#include "runtime/base/real.h"

/// The vector mathematics on arrays, one copy per instruction set, for the test alone.
namespace hecate::kernels::cpu {
enum class Function : uint8_t { exp, exp_softmax, tanh, sigmoid, erf };
namespace baseline {
void probe(Function function, int64_t n, const Real* x, Real* y);
}
namespace avx2 {
void probe(Function function, int64_t n, const Real* x, Real* y);
}
namespace avx512 {
void probe(Function function, int64_t n, const Real* x, Real* y);
}
}  // namespace hecate::kernels::cpu
