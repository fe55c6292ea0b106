#include "runtime/kernels/elementwise.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/pieces.h"
#include "runtime/kernels/cpu/simd/elementwise.h"
#include "runtime/kernels/cuda/kernels.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kBlock = 1 << 15;  // elements of a partial sum
constexpr int64_t kColumns = 64;     // columns of a task of a scatter
constexpr int64_t kGrain = 16;       // rows

int64_t blocks_of(const View<const Real>& x, const char* name) {
  HECATE_CHECK(x.contiguous(), name, ": needs a contiguous view, got ", x.shape(), " with stride ",
               x.row_stride());
  return (x.size() + kBlock - 1) / kBlock;
}

void check_ids(Stream& s, const char* name, const View<const int32_t>& ids, int64_t vocabulary) {
  if (s.device() == DeviceKind::cuda) return cuda::check_ids(s, name, ids, vocabulary, false);
  for (int64_t t = 0; t < ids.rows(); ++t)
    HECATE_CHECK(*ids.row(t) >= 0 && *ids.row(t) < vocabulary, name, ": id ", *ids.row(t), " at ",
                 t, " of a table of ", vocabulary);
}

template <class First, class... Rest>
void check_shapes(const char* name, const First& first, const Rest&... rest) {
  HECATE_CHECK(((rest.shape() == first.shape()) && ...), name, ": shapes differ: ", first.shape(),
               concat(" and ", rest.shape())...);
}

}  // namespace

void fill(Stream& s, Real value, View<Real> x) {
  if (s.device() == DeviceKind::cuda) return cuda::fill(s, value, x);
  cpu::for_pieces(
      s, "fill", [value](int64_t n, Real* out) { std::fill_n(out, n, value); }, x);
}

void copy(Stream& s, View<const Real> x, View<Real> y) {
  check_shapes("copy", x, y);
  if (s.device() == DeviceKind::cuda) return cuda::copy(s, x, y);
  cpu::for_pieces(
      s, "copy", [](int64_t n, const Real* in, Real* out) { std::copy_n(in, n, out); }, x, y);
}

void add(Stream& s, Real alpha, View<const Real> x, View<Real> y) {
  check_shapes("add", x, y);
  if (s.device() == DeviceKind::cuda) return cuda::add(s, alpha, x, y);
  cpu::for_pieces(
      s, "add",
      [alpha](int64_t n, const Real* in, Real* out) { HECATE_ISA_CALL(add, n, alpha, in, out); }, x,
      y);
}

void add_to(Stream& s, View<const Real> a, Real alpha, View<const Real> b, View<Real> out) {
  check_shapes("add_to", a, b, out);
  if (s.device() == DeviceKind::cuda) return cuda::add_to(s, a, alpha, b, out);
  cpu::for_pieces(
      s, "add_to",
      [alpha](int64_t n, const Real* p, const Real* q, Real* y) {
        HECATE_ISA_CALL(add_to, n, p, alpha, q, y);
      },
      a, b, out);
}

void scale(Stream& s, Real alpha, View<Real> x) {
  if (s.device() == DeviceKind::cuda) return cuda::scale(s, alpha, x);
  cpu::for_pieces(
      s, "scale", [alpha](int64_t n, Real* out) { HECATE_ISA_CALL(scale, n, alpha, out); }, x);
}

double sum_of_squares(Stream& s, View<const Real> x) {
  const int64_t blocks = blocks_of(x, "sum_of_squares");
  if (s.device() == DeviceKind::cuda) return cuda::sum_of_squares(s, x);
  CpuStream& stream = cpu_stream(s, "sum_of_squares");
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
  const int64_t blocks = blocks_of(x, "first_non_finite");
  if (s.device() == DeviceKind::cuda) return cuda::first_non_finite(s, x);
  std::atomic<int64_t> first{blocks};
  cpu_stream(s, "first_non_finite").pool().parallel_for(blocks, [&](int64_t block, int) {
    const int64_t begin = block * kBlock;
    if (HECATE_ISA_CALL(all_finite, std::min(kBlock, x.size() - begin), x.data() + begin)) return;
    int64_t seen = first.load();
    while (block < seen && !first.compare_exchange_weak(seen, block)) continue;
  });
  if (first == blocks) return -1;
  const Real* begin = x.data() + first * kBlock;
  return std::find_if(begin, x.data() + x.size(), [](Real v) { return !std::isfinite(v); }) -
         x.data();
}

void dropout(Stream& s, Real rate, uint64_t seed, uint64_t stream, int64_t first_row,
             View<const Real> x, View<Real> y) {
  HECATE_CHECK(x.shape() == y.shape() && rate >= 0 && rate < 1, "dropout: rate ", rate, ", x ",
               x.shape(), ", y ", y.shape());
  if (s.device() == DeviceKind::cuda) return cuda::dropout(s, rate, seed, stream, first_row, x, y);
  const int64_t width = x.row_size();
  const int64_t rows = std::max<int64_t>(1, cpu::kPieceElements / std::max<int64_t>(1, width));
  cpu_stream(s, "dropout")
      .pool()
      .parallel_ranges(x.rows(), rows, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t)
          HECATE_ISA_CALL(dropout, width, rate, seed, stream,
                          static_cast<uint64_t>((first_row + t) * width), x.row(t), y.row(t));
      });
}

void embedding(Stream& s, View<const int32_t> ids, View<const Real> table, Real factor,
               View<Real> out) {
  HECATE_CHECK(out.shape() == (Shape{ids.size(), table.dim(1)}), "embedding: ids ", ids.shape(),
               ", table ", table.shape(), ", out ", out.shape());
  check_ids(s, "embedding", ids, table.dim(0));
  if (s.device() == DeviceKind::cuda) return cuda::embedding(s, ids, table, factor, out);
  cpu_stream(s, "embedding")
      .pool()
      .parallel_ranges(ids.rows(), kGrain, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t)
          HECATE_ISA_CALL(scale_to, table.dim(1), factor, table.row(*ids.row(t)), out.row(t));
      });
}

void embedding_backward(Stream& s, View<const int32_t> ids, View<const Real> dy, Real factor,
                        View<Real> dtable) {
  HECATE_CHECK(dy.shape() == (Shape{ids.size(), dtable.dim(1)}), "embedding_backward: ids ",
               ids.shape(), ", dy ", dy.shape(), ", dtable ", dtable.shape());
  check_ids(s, "embedding_backward", ids, dtable.dim(0));
  if (s.device() == DeviceKind::cuda) return cuda::embedding_backward(s, ids, dy, factor, dtable);
  // Columns are dealt out, so that every element sees its tokens in order.
  cpu_stream(s, "embedding_backward")
      .pool()
      .parallel_ranges(dtable.dim(1), kColumns, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = 0; t < ids.rows(); ++t)
          HECATE_ISA_CALL(add, end - begin, factor, dy.row(t) + begin,
                          dtable.row(*ids.row(t)) + begin);
      });
}

}  // namespace hecate::kernels
