#include "runtime/kernels/cpu/simd/tile.h"

#include <utility>

namespace hecate::kernels::cpu::HECATE_ISA_NS {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kWide = 4;  // 6 x 4 accumulators of 32 registers
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kWide = 2;  // 6 x 2 of 16
#else
constexpr int kVectorBytes = 16, kWide = 2;
#endif
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(Real));
constexpr int kRows = 6;
using Vector __attribute__((vector_size(kVectorBytes), aligned(sizeof(Real)), may_alias)) = Real;

inline Vector load(const Real* p) {
  return *reinterpret_cast<const Vector*>(p);
}
inline void store(Real* p, Vector v) {
  *reinterpret_cast<Vector*>(p) = v;
}

struct Operands {
  int64_t k;
  Real alpha;
  const Real* a;
  int64_t a_row, a_step;
  const Real* b;
  int64_t b_row;
  bool accumulate;
  Real* c;
  int64_t c_row;
};

// M rows by W vectors, held in registers over the whole of k.
template <int M, int W>
inline void block(const Operands& o) {
  // Locals, since a store through c could change o for all the compiler knows.
  const int64_t depth = o.k, a_row = o.a_row, a_step = o.a_step, b_row = o.b_row, c_row = o.c_row;
  const Real* a = o.a;
  const Real* b = o.b;
  Real* c = o.c;
  const Real alpha = o.alpha;
  const bool accumulate = o.accumulate;
  Vector sum[M][W] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Vector row[W];
#pragma GCC unroll 8
    for (int w = 0; w < W; ++w) row[w] = load(b + w * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
      const Real factor = a[i * a_row];
#pragma GCC unroll 8
      for (int w = 0; w < W; ++w) sum[i][w] += factor * row[w];
    }
    a += a_step;
    b += b_row;
  }
  if (accumulate) {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 8
      for (int w = 0; w < W; ++w)
        store(c + i * c_row + w * kLanes, load(c + i * c_row + w * kLanes) + alpha * sum[i][w]);
  } else {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 8
      for (int w = 0; w < W; ++w) store(c + i * c_row + w * kLanes, alpha * sum[i][w]);
  }
}

// The columns that do not fill a vector.
inline void tail(const Operands& o, int64_t m, int64_t n) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      Real sum = 0;
      for (int64_t k = 0; k < o.k; ++k)
        sum += o.a[i * o.a_row + k * o.a_step] * o.b[k * o.b_row + j];
      Real* c = o.c + i * o.c_row + j;
      *c = o.accumulate ? *c + o.alpha * sum : o.alpha * sum;
    }
}

template <int W>
inline void column_block(Operands o, int64_t m) {
  for (; m >= kRows; m -= kRows) {
    block<kRows, W>(o);
    o.a += kRows * o.a_row;
    o.c += kRows * o.c_row;
  }
  for (; m >= 2; m -= 2) {
    block<2, W>(o);
    o.a += 2 * o.a_row;
    o.c += 2 * o.c_row;
  }
  if (m == 1) block<1, W>(o);
}

static_assert(kLanes >= 2 && (kLanes & (kLanes - 1)) == 0);

// Of rows i and i + Step of a square, swaps the upper lanes of one with the lower of the other in
// every group of 2 Step lanes.
template <int Step, int... Lane>
inline void exchange(Vector (&rows)[kLanes], std::integer_sequence<int, Lane...>) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i)
    if ((i & Step) == 0) {
      const Vector a = rows[i], b = rows[i + Step];
      rows[i] =
          __builtin_shufflevector(a, b, ((Lane & Step) == 0 ? Lane : Lane - Step + kLanes)...);
      rows[i + Step] =
          __builtin_shufflevector(a, b, ((Lane & Step) == 0 ? Lane + Step : Lane + kLanes)...);
    }
}

inline void transpose_square(const Real* x, int64_t x_row, Real* out, int64_t out_row) {
  constexpr auto kEvery = std::make_integer_sequence<int, kLanes>();
  Vector rows[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) rows[i] = load(x + i * x_row);
  exchange<1>(rows, kEvery);
  if constexpr (kLanes >= 4) exchange<2>(rows, kEvery);
  if constexpr (kLanes >= 8) exchange<4>(rows, kEvery);
  if constexpr (kLanes >= 16) exchange<8>(rows, kEvery);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) store(out + i * out_row, rows[i]);
}

}  // namespace

void tile_product(int64_t m, int64_t n, int64_t k, Real alpha, const Real* a, int64_t a_row,
                  int64_t a_step, const Real* b, int64_t b_row, bool accumulate, Real* c,
                  int64_t c_row) {
  Operands o{k, alpha, a, a_row, a_step, b, b_row, accumulate, c, c_row};
  for (; n >= kWide * kLanes; n -= kWide * kLanes) {
    column_block<kWide>(o, m);
    o.b += kWide * kLanes;
    o.c += kWide * kLanes;
  }
  const int64_t vectors = n / kLanes;
  if (vectors == 3) column_block<3>(o, m);
  if (vectors == 2) column_block<2>(o, m);
  if (vectors == 1) column_block<1>(o, m);
  o.b += vectors * kLanes;
  o.c += vectors * kLanes;
  n -= vectors * kLanes;
  if (n > 0) tail(o, m, n);
}

void transpose(int64_t rows, int64_t columns, const Real* x, int64_t x_row, Real* out,
               int64_t out_row) {
  const int64_t whole_rows = rows / kLanes * kLanes, whole_columns = columns / kLanes * kLanes;
  for (int64_t i = 0; i < whole_rows; i += kLanes)
    for (int64_t j = 0; j < whole_columns; j += kLanes)
      transpose_square(x + i * x_row + j, x_row, out + j * out_row + i, out_row);
  for (int64_t j = 0; j < columns; ++j) {
    Real* row = out + j * out_row;
    for (int64_t i = j < whole_columns ? whole_rows : 0; i < rows; ++i) row[i] = x[i * x_row + j];
    for (int64_t i = rows; i < out_row; ++i) row[i] = 0;
  }
}

}  // namespace hecate::kernels::cpu::HECATE_ISA_NS
