#pragma once
#include <cstdint>

#include "runtime/base/real.h"

/// Row kernels of norms, rotary positions and attention, one copy per instruction set.
#define HECATE_DECLARE_SEQUENCE(isa)                                                              \
  namespace hecate::kernels::cpu::isa {                                                           \
  /* Returns 1 / sqrt(mean(x^2) + eps); y = x * that * gamma. */                                  \
  Real rms_norm_row(int64_t n, Real eps, const Real* x, const Real* gamma, Real* y);              \
  void rms_norm_row_backward(int64_t n, Real rstd, const Real* x, const Real* gamma,              \
                             const Real* dy, bool accumulate, Real* dx, Real* dgamma);            \
  void layer_norm_row(int64_t n, Real eps, const Real* x, const Real* gamma, const Real* beta,    \
                      Real* y, Real* mean, Real* rstd);                                           \
  void layer_norm_row_backward(int64_t n, Real mean, Real rstd, const Real* x, const Real* gamma, \
                               const Real* dy, bool accumulate, Real* dx, Real* dgamma,           \
                               Real* dbeta);                                                      \
  /* Rotates pairs (x[i], x[i + half]) by cosines[i], sines[i]; sign -1 rotates back. */          \
  void rope_row(int64_t half, Real sign, const Real* cosines, const Real* sines, Real* x);        \
  /* p = exp(p - lse); dp = p * (dp - delta) * scale */                                           \
  void score_gradient(int64_t n, Real lse, Real delta, Real scale, Real* p, Real* dp);            \
  }
HECATE_DECLARE_SEQUENCE(baseline)
HECATE_DECLARE_SEQUENCE(avx2)
HECATE_DECLARE_SEQUENCE(avx512)
#undef HECATE_DECLARE_SEQUENCE
