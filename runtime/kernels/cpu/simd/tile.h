#pragma once
#include <cstdint>

#include "runtime/base/real.h"

/// Matrix products on tiles that fit the caches, for attention, where the vendor library's cost per
/// call and its packing are too much. One copy per instruction set.
#define HECATE_DECLARE_TILE(isa)                                                                  \
  namespace hecate::kernels::cpu::isa {                                                           \
  /* c[m,n] = alpha * sum over k of a(i,k) b[k,n] (+ c if accumulate). a(i,k) lies at             \
     a[i * a_row + k * a_step], rows of b and c are b_row and c_row elements apart. */            \
  void tile_product(int64_t m, int64_t n, int64_t k, Real alpha, const Real* a, int64_t a_row,    \
                    int64_t a_step, const Real* b, int64_t b_row, bool accumulate, Real* c,       \
                    int64_t c_row);                                                               \
  /* out[j, i] = x[i, j] for i < rows, j < columns; columns [rows, out_row) of out are zeroed. */ \
  void transpose(int64_t rows, int64_t columns, const Real* x, int64_t x_row, Real* out,          \
                 int64_t out_row);                                                                \
  }
HECATE_DECLARE_TILE(baseline)
HECATE_DECLARE_TILE(avx2)
HECATE_DECLARE_TILE(avx512)
#undef HECATE_DECLARE_TILE
