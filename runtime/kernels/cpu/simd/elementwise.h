#pragma once
#include <cstdint>

#include "runtime/base/real.h"
#include "runtime/kernels/activation.h"
#include "runtime/kernels/math/adamw.h"

/// Row kernels on plain arrays of n elements, one copy per instruction set.
#define HECATE_DECLARE_ELEMENTWISE(isa)                                                            \
  namespace hecate::kernels::cpu::isa {                                                            \
  void activation(Activation kind, int64_t n, const Real* x, Real* y);                             \
  void activation_backward(Activation kind, int64_t n, const Real* x, const Real* dy, Real* dx);   \
  void swiglu(int64_t n, const Real* gate, const Real* up, Real* out);                             \
  void swiglu_backward(int64_t n, const Real* gate, const Real* up, const Real* dout, Real* dgate, \
                       Real* dup);                                                                 \
  void add(int64_t n, Real alpha, const Real* x, Real* y);                                         \
  void add_to(int64_t n, const Real* a, Real alpha, const Real* b, Real* out);                     \
  void scale(int64_t n, Real alpha, Real* x);                                                      \
  void scale_to(int64_t n, Real alpha, const Real* x, Real* y);                                    \
  double sum_of_squares(int64_t n, const Real* x);                                                 \
  bool all_finite(int64_t n, const Real* x);                                                       \
  Real dot(int64_t n, const Real* a, const Real* b);                                               \
  Real maximum(int64_t n, const Real* x);                                                          \
  /* x = exp(x - shift), at least about the smallest normal number; returns the sum. */            \
  Real exp_shifted(int64_t n, Real shift, Real* x);                                                \
  Real sum_of_exp(int64_t n, Real shift, const Real* x);                                           \
  void sigmoid(int64_t n, const Real* x, Real* y);                                                 \
  void dropout(int64_t n, Real rate, uint64_t seed, uint64_t stream, uint64_t first,               \
               const Real* x, Real* y);                                                            \
  void adamw(int64_t n, const math::AdamWConstants& c, Real* p, const Real* g, Real* m, Real* v);  \
  }
HECATE_DECLARE_ELEMENTWISE(baseline)
HECATE_DECLARE_ELEMENTWISE(avx2)
HECATE_DECLARE_ELEMENTWISE(avx512)
#undef HECATE_DECLARE_ELEMENTWISE
