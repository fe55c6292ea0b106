#include "runtime/kernels/cpu/simd/elementwise.h"

#include "runtime/kernels/cpu/simd/vector_math.h"
#include "runtime/kernels/math/activation.h"
#include "runtime/kernels/math/adamw.h"
#include "runtime/kernels/math/dropout.h"

namespace hecate::kernels::cpu::HECATE_ISA_NS {
namespace {

#ifdef HECATE_REAL_DOUBLE
using Bits = uint64_t;
constexpr Bits kExponent = 0x7ff0000000000000u;
#else
using Bits = uint32_t;
constexpr Bits kExponent = 0x7f800000u;
#endif

// The mathematics of this instruction set, for what the devices share.
struct Math {
  static Real exp(Real x) { return vexp(x); }
  static Real erf(Real x) { return verf(x); }
  static Real sqrt(Real x) { return vsqrt(x); }
  static Real sigmoid(Real x) { return vsigmoid(x); }
};

template <class F>
inline void map(int64_t n, const Real* x, Real* y) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = F{}(x[i]);
}

template <class Slope>
inline void map_backward(int64_t n, const Real* x, const Real* dy, Real* dx) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * Slope{}(x[i]);
}

}  // namespace

void activation(Activation kind, int64_t n, const Real* x, Real* y) {
  switch (kind) {
    case Activation::gelu:
      return map<math::Gelu<Math>>(n, x, y);
    case Activation::gelu_tanh:
      return map<math::GeluTanh<Math>>(n, x, y);
    case Activation::squared_relu:
      return map<math::SquaredRelu<Math>>(n, x, y);
    case Activation::silu:
      return map<math::Silu<Math>>(n, x, y);
  }
}

void activation_backward(Activation kind, int64_t n, const Real* x, const Real* dy, Real* dx) {
  switch (kind) {
    case Activation::gelu:
      return map_backward<math::GeluSlope<Math>>(n, x, dy, dx);
    case Activation::gelu_tanh:
      return map_backward<math::GeluTanhSlope<Math>>(n, x, dy, dx);
    case Activation::squared_relu:
      return map_backward<math::SquaredReluSlope<Math>>(n, x, dy, dx);
    case Activation::silu:
      return map_backward<math::SiluSlope<Math>>(n, x, dy, dx);
  }
}

void swiglu(int64_t n, const Real* gate, const Real* up, Real* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = math::Silu<Math>{}(gate[i]) * up[i];
}

void swiglu_backward(int64_t n, const Real* gate, const Real* up, const Real* dout, Real* dgate,
                     Real* dup) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const math::SwigluGradient d = math::swiglu_gradient<Math>(gate[i], up[i], dout[i]);
    dgate[i] = d.gate;
    dup[i] = d.up;
  }
}

void add(int64_t n, Real alpha, const Real* x, Real* y) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] += alpha * x[i];
}

void add_to(int64_t n, const Real* a, Real alpha, const Real* b, Real* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = a[i] + alpha * b[i];
}

void scale(int64_t n, Real alpha, Real* x) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] *= alpha;
}

void scale_to(int64_t n, Real alpha, const Real* x, Real* y) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = alpha * x[i];
}

double sum_of_squares(int64_t n, const Real* x) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

// An all-ones exponent carries into the sign bit.
bool all_finite(int64_t n, const Real* x) {
  Bits carried = 0;
#pragma omp simd reduction(| : carried)
  for (int64_t i = 0; i < n; ++i)
    carried |= (__builtin_bit_cast(Bits, x[i]) & kExponent) + (kExponent & (~kExponent + 1));
  return carried >> (8 * sizeof(Bits) - 1) == 0;
}

Real dot(int64_t n, const Real* a, const Real* b) {
  Real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

Real maximum(int64_t n, const Real* x) {
  Real best = -__builtin_huge_valf();
#pragma omp simd reduction(max : best)
  for (int64_t i = 0; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

Real exp_shifted(int64_t n, Real shift, Real* x) {
  Real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    x[i] = vexp_softmax(x[i] - shift);
    sum += x[i];
  }
  return sum;
}

Real sum_of_exp(int64_t n, Real shift, const Real* x) {
  Real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += vexp(x[i] - shift);
  return sum;
}

void sigmoid(int64_t n, const Real* x, Real* y) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = vsigmoid(x[i]);
}

void dropout(int64_t n, Real rate, uint64_t seed, uint64_t stream, uint64_t first, const Real* x,
             Real* y) {
  const math::Dropout<Math> rule(rate, seed, stream);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = rule(x[i], first + static_cast<uint64_t>(i));
}

void adamw(int64_t n, const math::AdamWConstants& c, Real* p, const Real* g, Real* m, Real* v) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) math::adamw<Math>(c, p[i], g[i], m[i], v[i]);
}

}  // namespace hecate::kernels::cpu::HECATE_ISA_NS
