#include "runtime/kernels/cpu/simd/sequence.h"

#include "runtime/kernels/cpu/simd/vector_math.h"

namespace hecate::kernels::cpu::HECATE_ISA_NS {

Real rms_norm_row(int64_t n, Real eps, const Real* x, const Real* gamma, Real* y) {
  Real squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const Real rstd = Real(1) / vsqrt(squares / static_cast<Real>(n) + eps);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * rstd * gamma[i];
  return rstd;
}

void rms_norm_row_backward(int64_t n, Real rstd, const Real* x, const Real* gamma, const Real* dy,
                           bool accumulate, Real* dx, Real* dgamma) {
  Real inner = 0;
#pragma omp simd reduction(+ : inner)
  for (int64_t i = 0; i < n; ++i) {
    inner += dy[i] * gamma[i] * x[i];
    dgamma[i] += dy[i] * x[i] * rstd;
  }
  const Real pull = inner * rstd * rstd / static_cast<Real>(n);
  if (accumulate) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) dx[i] += rstd * (dy[i] * gamma[i] - pull * x[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) dx[i] = rstd * (dy[i] * gamma[i] - pull * x[i]);
  }
}

void layer_norm_row(int64_t n, Real eps, const Real* x, const Real* gamma, const Real* beta,
                    Real* y, Real* mean, Real* rstd) {
  Real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  const Real center = sum / static_cast<Real>(n);
  Real squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < n; ++i) squares += (x[i] - center) * (x[i] - center);
  const Real inverse = Real(1) / vsqrt(squares / static_cast<Real>(n) + eps);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - center) * inverse * gamma[i] + beta[i];
  *mean = center;
  *rstd = inverse;
}

void layer_norm_row_backward(int64_t n, Real mean, Real rstd, const Real* x, const Real* gamma,
                             const Real* dy, bool accumulate, Real* dx, Real* dgamma, Real* dbeta) {
  Real sum = 0, inner = 0;
#pragma omp simd reduction(+ : sum, inner)
  for (int64_t i = 0; i < n; ++i) {
    const Real normed = (x[i] - mean) * rstd;
    const Real d = dy[i] * gamma[i];
    sum += d;
    inner += d * normed;
    dgamma[i] += dy[i] * normed;
    dbeta[i] += dy[i];
  }
  sum /= static_cast<Real>(n);
  inner /= static_cast<Real>(n);
  if (accumulate) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i)
      dx[i] += rstd * (dy[i] * gamma[i] - sum - (x[i] - mean) * rstd * inner);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i)
      dx[i] = rstd * (dy[i] * gamma[i] - sum - (x[i] - mean) * rstd * inner);
  }
}

void rope_row(int64_t half, Real sign, const Real* cosines, const Real* sines, Real* x) {
  Real* y = x + half;
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    const Real a = x[i], b = y[i], c = cosines[i], s = sign * sines[i];
    x[i] = a * c - b * s;
    y[i] = b * c + a * s;
  }
}

void score_gradient(int64_t n, Real lse, Real delta, Real scale, Real* p, Real* dp) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    p[i] = vexp_softmax(p[i] - lse);
    dp[i] = p[i] * (dp[i] - delta) * scale;
  }
}

}  // namespace hecate::kernels::cpu::HECATE_ISA_NS
