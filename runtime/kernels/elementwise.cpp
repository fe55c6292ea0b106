#include "runtime/kernels/elementwise.h"

#include <algorithm>
#include <cmath>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/elementwise.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kGrain = 4096;     // elements
constexpr int64_t kBlock = 1 << 15;  // elements of a partial sum
constexpr int64_t kColumns = 64;     // columns of a task of a scatter

// Calls body(row, first column, count) so that small pieces of every row are covered, contiguous
// views as one long row.
template <class T, class Body>
void for_pieces(Stream& s, const char* name, const View<T>& x, const Body& body) {
  ThreadPool& pool = cpu_stream(s, name).pool();
  if (x.contiguous()) {
    pool.parallel_ranges(x.size(), kGrain, [&](int64_t begin, int64_t end, int) {
      body(int64_t{0}, begin, end - begin);
    });
    return;
  }
  const int64_t rows = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, x.row_size()));
  pool.parallel_ranges(x.rows(), rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) body(t, int64_t{0}, x.row_size());
  });
}

}  // namespace

void fill(Stream& s, Real value, View<Real> x) {
  for_pieces(s, "fill", x, [&](int64_t row, int64_t begin, int64_t n) {
    std::fill_n(x.row(row) + begin, n, value);
  });
}

namespace {

template <class Body>
void for_pairs(Stream& s, const char* name, const View<const Real>& x, const View<Real>& y,
               const Body& body) {
  HECATE_CHECK(x.shape() == y.shape(), name, ": x ", x.shape(), ", y ", y.shape());
  if (x.contiguous() && y.contiguous())
    return for_pieces(s, name, x, [&](int64_t, int64_t begin, int64_t n) {
      body(x.data() + begin, y.data() + begin, n);
    });
  cpu_stream(s, name).pool().parallel_ranges(x.rows(), 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) body(x.row(t), y.row(t), x.row_size());
  });
}

}  // namespace

void copy(Stream& s, View<const Real> x, View<Real> y) {
  for_pairs(s, "copy", x, y, [](const Real* in, Real* out, int64_t n) { std::copy_n(in, n, out); });
}

void add(Stream& s, Real alpha, View<const Real> x, View<Real> y) {
  for_pairs(s, "add", x, y, [alpha](const Real* in, Real* out, int64_t n) {
    HECATE_ISA_CALL(add, n, alpha, in, out);
  });
}

void add_to(Stream& s, View<const Real> a, Real alpha, View<const Real> b, View<Real> out) {
  HECATE_CHECK(a.shape() == b.shape() && b.shape() == out.shape(), "add_to: a ", a.shape(), ", b ",
               b.shape(), ", out ", out.shape());
  cpu_stream(s, "add_to").pool().parallel_ranges(a.rows(), 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t)
      HECATE_ISA_CALL(add_to, a.row_size(), a.row(t), alpha, b.row(t), out.row(t));
  });
}

void scale(Stream& s, Real alpha, View<Real> x) {
  for_pieces(s, "scale", x, [&](int64_t row, int64_t begin, int64_t n) {
    HECATE_ISA_CALL(scale, n, alpha, x.row(row) + begin);
  });
}

double sum_of_squares(Stream& s, View<const Real> x) {
  HECATE_CHECK(x.contiguous(), "sum_of_squares: needs a contiguous view");
  CpuStream& stream = cpu_stream(s, "sum_of_squares");
  const int64_t blocks = (x.size() + kBlock - 1) / kBlock;
  auto* partial = reinterpret_cast<double*>(
      stream.workspace(static_cast<size_t>(std::max<int64_t>(1, blocks)) * sizeof(double)));
  stream.pool().parallel_for(blocks, [&](int64_t block, int) {
    const int64_t begin = block * kBlock;
    partial[block] =
        HECATE_ISA_CALL(sum_of_squares, std::min(kBlock, x.size() - begin), x.data() + begin);
  });
  double sum = 0;
  for (int64_t block = 0; block < blocks; ++block) sum += partial[block];
  return sum;
}

int64_t first_non_finite(Stream& s, View<const Real> x) {
  if (std::isfinite(sum_of_squares(s, x))) return -1;
  for (int64_t i = 0; i < x.size(); ++i)
    if (!std::isfinite(x.data()[i])) return i;
  return -1;  // finite elements whose squares overflow
}

void dropout(Stream& s, Real rate, uint64_t seed, uint64_t stream, int64_t first_row,
             View<const Real> x, View<Real> y) {
  HECATE_CHECK(x.shape() == y.shape() && rate >= 0 && rate < 1, "dropout: rate ", rate, ", x ",
               x.shape(), ", y ", y.shape());
  cpu_stream(s, "dropout")
      .pool()
      .parallel_ranges(x.rows(), 8, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t)
          HECATE_ISA_CALL(dropout, x.row_size(), rate, seed, stream,
                          static_cast<uint64_t>((first_row + t) * x.row_size()), x.row(t),
                          y.row(t));
      });
}

void embedding(Stream& s, View<const int32_t> ids, View<const Real> table, Real factor,
               View<Real> out) {
  HECATE_CHECK(out.shape() == (Shape{ids.size(), table.dim(1)}), "embedding: ids ", ids.shape(),
               ", table ", table.shape(), ", out ", out.shape());
  cpu_stream(s, "embedding")
      .pool()
      .parallel_ranges(ids.size(), 16, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t) {
          const int32_t id = ids.data()[t];
          HECATE_CHECK(id >= 0 && id < table.dim(0), "embedding: id ", id, " at ", t,
                       " of a table of ", table.dim(0));
          HECATE_ISA_CALL(scale_to, table.dim(1), factor, table.row(id), out.row(t));
        }
      });
}

void embedding_backward(Stream& s, View<const int32_t> ids, View<const Real> dy, Real factor,
                        View<Real> dtable) {
  HECATE_CHECK(dy.shape() == (Shape{ids.size(), dtable.dim(1)}), "embedding_backward: ids ",
               ids.shape(), ", dy ", dy.shape(), ", dtable ", dtable.shape());
  const int64_t width = dtable.dim(1);
  cpu_stream(s, "embedding_backward")
      .pool()
      .parallel_for((width + kColumns - 1) / kColumns, [&](int64_t block, int) {
        const int64_t begin = block * kColumns, n = std::min(kColumns, width - begin);
        for (int64_t t = 0; t < ids.size(); ++t)
          HECATE_ISA_CALL(add, n, factor, dy.row(t) + begin, dtable.row(ids.data()[t]) + begin);
      });
}

}  // namespace hecate::kernels
