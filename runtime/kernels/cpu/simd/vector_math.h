#pragma once

/// Branch-free mathematics that the compiler vectorises inside `omp simd` loops: infinities,
/// overflow and underflow give what std:: gives, NaN stays NaN; in f64 the C library is called.
/// Included only by sources under cpu/simd, inside the namespace of their instruction set; no std::
/// function is instantiated, so that no code of one instruction set reaches another through the
/// linker.
namespace hecate::kernels::cpu::HECATE_ISA_NS {
namespace {

// e^r of x = n ln 2 + r, |r| <= ln(2)/2, to about 1 ulp; n is left in the low bits of `shifted`
// (coefficients: Cephes expf).
inline float vexp_fraction(float x, float& shifted) {
  const float magic = 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
  shifted = x * 1.44269504088896341f + magic;
  const float n = shifted - magic;
  float r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return 1.0f + (p * r * r + r);
}

inline float vexp(float x) {
  const float hi = 89.0f, lo = -104.0f;  // beyond them the result is infinite or 0
  float shifted;
  const float p = vexp_fraction(x > hi ? hi : (x < lo ? lo : x), shifted);
  // Two factors: n = 128 is beyond the largest exponent, n = -150 below the smallest.
  const int whole = __builtin_bit_cast(int, shifted) - 0x4B400000;
  const int half = whole >> 1;
  return p * __builtin_bit_cast(float, static_cast<unsigned>(half + 127) << 23) *
         __builtin_bit_cast(float, static_cast<unsigned>(whole - half + 127) << 23);
}
inline double vexp(double x) {
  return __builtin_exp(x);
}

// e^x of a softmax, x <= 88, in half the time: results that would be subnormal or 0 become about
// the smallest normal number.
inline float vexp_softmax(float x) {
  const float lo = -87.33f;
  float shifted;
  const float p = vexp_fraction(x < lo ? lo : x, shifted);
  return __builtin_bit_cast(
      float, __builtin_bit_cast(unsigned, p) + (__builtin_bit_cast(unsigned, shifted) << 23));
}
inline double vexp_softmax(double x) {
  return __builtin_exp(x);
}

inline float vsqrt(float x) {
  return __builtin_sqrtf(x);
}
inline double vsqrt(double x) {
  return __builtin_sqrt(x);
}

template <class T>
inline T vsigmoid(T x) {
  return T(1) / (T(1) + vexp(-x));
}

// An odd polynomial near 0 (fitted by weighted least squares to 5e-9), exponentials elsewhere.
inline float vtanh(float x) {
  const float a = __builtin_fabsf(x), u = x * x;
  float p = -0.005704994313418865f;
  p = p * u + 0.020639095455408096f;
  p = p * u - 0.05373971909284592f;
  p = p * u + 0.13331441581249237f;
  p = p * u - 0.3333328068256378f;
  const float near = x + x * u * p;
  const float far = 1.0f - 2.0f / (vexp(2.0f * a) + 1.0f);
  return a < 0.625f ? near : __builtin_copysignf(far, x);
}
inline double vtanh(double x) {
  return __builtin_tanh(x);
}

// erf(a) = 1 - t P(t) e^(-a^2), t = 1 / (1 + 0.3275911 a): the form of Abramowitz & Stegun 7.1.26
// with a longer polynomial (fitted by weighted least squares to 6e-10).
inline float verf(float x) {
  const float a = __builtin_fabsf(x);
  const float t = 1.0f / (1.0f + 0.3275911f * a);
  float p = -0.07197220623493195f;
  p = p * t + 0.117529958486557f;
  p = p * t + 0.4789001941680908f;
  p = p * t - 0.6861850023269653f;
  p = p * t + 0.9001392126083374f;
  p = p * t - 0.1945236325263977f;
  p = p * t + 0.2819686532020569f;
  p = p * t + 0.17414283752441406f;
  return __builtin_copysignf(1.0f - p * t * vexp(-a * a), x);
}
inline double verf(double x) {
  return __builtin_erf(x);
}

}  // namespace
}  // namespace hecate::kernels::cpu::HECATE_ISA_NS
