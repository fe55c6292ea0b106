#include "runtime/kernels/cpu/simd/elementwise.h"

#include "runtime/kernels/cpu/simd/vector_math.h"

namespace hecate::kernels::cpu::HECATE_ISA_NS {
namespace {

#ifdef HECATE_REAL_DOUBLE
using Bits = uint64_t;
constexpr Bits kExponent = 0x7ff0000000000000u;
#else
using Bits = uint32_t;
constexpr Bits kExponent = 0x7f800000u;
#endif

constexpr Real kGeluScale = Real(0.7978845608028654);  // sqrt(2 / pi)
constexpr Real kGeluCubic = Real(0.044715);
constexpr Real kInverseRoot2 = Real(0.7071067811865476);
constexpr Real kInverseRoot2Pi = Real(0.3989422804014327);

// (1 + tanh(u)) / 2 is the sigmoid of 2u, which needs one exponential and no case near 0.
inline Real gelu_tanh_gate(Real x) {
  return vsigmoid(Real(2) * kGeluScale * (x + kGeluCubic * x * x * x));
}

inline Real gelu_tanh_of(Real x) {
  return x * gelu_tanh_gate(x);
}

inline Real gelu_tanh_slope(Real x) {
  const Real gate = gelu_tanh_gate(x);
  return gate + Real(2) * x * gate * (Real(1) - gate) * kGeluScale *
                    (Real(1) + Real(3) * kGeluCubic * x * x);
}

inline Real gelu_of(Real x) {
  return Real(0.5) * x * (Real(1) + verf(x * kInverseRoot2));
}

inline Real gelu_slope(Real x) {
  return Real(0.5) * (Real(1) + verf(x * kInverseRoot2)) +
         x * kInverseRoot2Pi * vexp(Real(-0.5) * x * x);
}

// Written so that NaN stays NaN.
inline Real squared_relu_of(Real x) {
  return x < 0 ? Real(0) : x * x;
}
inline Real squared_relu_slope(Real x) {
  return x < 0 ? Real(0) : Real(2) * x;
}
inline Real silu_of(Real x) {
  return x * vsigmoid(x);
}
inline Real silu_slope(Real x) {
  const Real s = vsigmoid(x);
  return s * (Real(1) + x * (Real(1) - s));
}

template <Real (*F)(Real)>
inline void map(int64_t n, const Real* x, Real* y) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = F(x[i]);
}

template <Real (*Slope)(Real)>
inline void map_backward(int64_t n, const Real* x, const Real* dy, Real* dx) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * Slope(x[i]);
}

}  // namespace

void activation(Activation kind, int64_t n, const Real* x, Real* y) {
  switch (kind) {
    case Activation::gelu:
      return map<gelu_of>(n, x, y);
    case Activation::gelu_tanh:
      return map<gelu_tanh_of>(n, x, y);
    case Activation::squared_relu:
      return map<squared_relu_of>(n, x, y);
    case Activation::silu:
      return map<silu_of>(n, x, y);
  }
}

void activation_backward(Activation kind, int64_t n, const Real* x, const Real* dy, Real* dx) {
  switch (kind) {
    case Activation::gelu:
      return map_backward<gelu_slope>(n, x, dy, dx);
    case Activation::gelu_tanh:
      return map_backward<gelu_tanh_slope>(n, x, dy, dx);
    case Activation::squared_relu:
      return map_backward<squared_relu_slope>(n, x, dy, dx);
    case Activation::silu:
      return map_backward<silu_slope>(n, x, dy, dx);
  }
}

void swiglu(int64_t n, const Real* gate, const Real* up, Real* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = silu_of(gate[i]) * up[i];
}

void swiglu_backward(int64_t n, const Real* gate, const Real* up, const Real* dout, Real* dgate,
                     Real* dup) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const Real g = gate[i], u = up[i], d = dout[i];
    const Real s = vsigmoid(g);
    dgate[i] = d * u * s * (Real(1) + g * (Real(1) - s));
    dup[i] = d * g * s;
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

// A hash of (seed, stream, element) decides each element: two rounds of a 64-bit finaliser
// (Stafford's mix 13) per element, cheap enough to repeat in backward.
void dropout(int64_t n, Real rate, uint64_t seed, uint64_t stream, uint64_t first, const Real* x,
             Real* y) {
  const uint64_t key = (seed * 0x9E3779B97F4A7C15ull) ^ (stream * 0xD1B54A32D192ED03ull);
  const auto limit = static_cast<uint64_t>(static_cast<double>(rate) * 16777216.0);
  const Real factor = Real(1) / (Real(1) - rate);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    uint64_t h = (first + static_cast<uint64_t>(i)) * 0x9E3779B97F4A7C15ull + key;
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9ull;
    h = (h ^ (h >> 27)) * 0x94D049BB133111EBull;
    h = h ^ (h >> 31);
    y[i] = (h >> 40) < limit ? Real(0) : x[i] * factor;
  }
}

void adamw(int64_t n, const AdamWConstants& c, Real* p, const Real* g, Real* m, Real* v) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const Real gradient = g[i] * c.gradient_scale;
    const Real first = c.beta1 * m[i] + c.rest1 * gradient;
    const Real second = c.beta2 * v[i] + c.rest2 * gradient * gradient;
    m[i] = first;
    v[i] = second;
    const Real root = vsqrt(second) * c.root_correction + c.eps;
    p[i] = c.keep * p[i] - c.step_size * first / root;
  }
}

}  // namespace hecate::kernels::cpu::HECATE_ISA_NS
