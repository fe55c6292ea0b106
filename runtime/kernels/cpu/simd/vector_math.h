#pragma once

/// Branch-free mathematics that the compiler vectorises inside `omp simd` loops. Included only by
/// sources under cpu/simd, inside the namespace of their instruction set; no std:: function is
/// instantiated in f32, so that no code of one instruction set reaches another through the linker.
namespace hecate::kernels::cpu::HECATE_ISA_NS {
namespace {

// e^x to about 1 ulp: 2^n * p(r), x = n ln 2 + r, |r| <= ln(2)/2 (coefficients: Cephes expf).
inline float vexp(float x) {
  const float hi = 88.7228393f, lo = -87.3365448f;
  const float clamped = x > hi ? hi : (x < lo ? lo : x);
  const float n = __builtin_rintf(clamped * 1.44269504088896341f);
  float r = clamped - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // Two factors, so that n = 128 does not overflow the exponent field.
  const int whole = static_cast<int>(n);
  const int half = whole >> 1;
  const float scaled = p * __builtin_bit_cast(float, (half + 127) << 23) *
                       __builtin_bit_cast(float, (whole - half + 127) << 23);
  const float bounded = x < lo ? 0.0f : scaled;
  return x > hi ? __builtin_inff() : (x != x ? x : bounded);
}
inline double vexp(double x) {
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

inline float vtanh(float x) {
  return 1.0f - 2.0f / (vexp(2.0f * x) + 1.0f);
}
inline double vtanh(double x) {
  return __builtin_tanh(x);
}

// Abramowitz & Stegun 7.1.26, absolute error below 1.5e-7.
inline float verf(float x) {
  const float a = x < 0 ? -x : x;
  const float t = 1.0f / (1.0f + 0.3275911f * a);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float y = 1.0f - p * t * vexp(-a * a);
  return x < 0 ? -y : y;
}
inline double verf(double x) {
  return __builtin_erf(x);
}

}  // namespace
}  // namespace hecate::kernels::cpu::HECATE_ISA_NS
