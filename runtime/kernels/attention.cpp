#include "runtime/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/blas.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/elementwise.h"
#include "runtime/kernels/cpu/simd/sequence.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kQueries = 64;  // rows of a score tile
constexpr int64_t kKeys = 512;    // columns of a score tile, at most
constexpr Real kMasked = -std::numeric_limits<Real>::infinity();

// Sizes of one call; heads h of q share key head h / group.
struct Sizes {
  int64_t tokens, heads, groups, n, nv, sequence;
  int64_t group() const { return heads / groups; }
  int64_t sequences() const { return tokens / sequence; }
};

Sizes check(const char* name, const AttentionShape& shape, const View<const Real>& q,
            const View<const Real>& k, const View<const Real>& v,
            const View<const int32_t>& documents) {
  HECATE_CHECK(q.shape().rank() == 3 && k.shape().rank() == 3 && v.shape().rank() == 3, name,
               ": q ", q.shape(), ", k ", k.shape(), ", v ", v.shape());
  const Sizes z{.tokens = q.dim(0),
                .heads = q.dim(1),
                .groups = k.dim(1),
                .n = q.dim(2),
                .nv = v.dim(2),
                .sequence = shape.sequence};
  HECATE_CHECK(k.shape() == (Shape{z.tokens, z.groups, z.n}) &&
                   v.shape() == (Shape{z.tokens, z.groups, z.nv}) && z.groups >= 1 &&
                   z.heads % z.groups == 0 && shape.sequence >= 1 &&
                   z.tokens % shape.sequence == 0 &&
                   (documents.data() == nullptr || documents.size() == z.tokens),
               name, ": q ", q.shape(), ", k ", k.shape(), ", v ", v.shape(), ", sequence ",
               shape.sequence, ", documents ", documents.shape());
  return z;
}

// Which keys the queries [first, first + rows) of one sequence see, in tokens of the whole batch.
struct Window {
  const AttentionShape* shape;
  const int32_t* documents;  // or null
  int64_t begin, end;        // the sequence

  int64_t first_key(int64_t query) const {
    return documents == nullptr ? begin : std::max<int64_t>(begin, documents[query]);
  }
  int64_t end_key(int64_t query) const {
    if (shape->causal) return query + 1;
    if (documents == nullptr) return end;
    int64_t last = query + 1;  // the next document starts where document_begin moves past us
    while (last < end && documents[last] <= query) ++last;
    return last;
  }
  int64_t first_of(int64_t first, int64_t rows) const {
    int64_t least = first_key(first);
    for (int64_t i = 1; i < rows; ++i) least = std::min(least, first_key(first + i));
    return least;
  }
  int64_t end_of(int64_t first, int64_t rows) const {
    int64_t most = end_key(first);
    for (int64_t i = 1; i < rows; ++i) most = std::max(most, end_key(first + i));
    return most;
  }
  // Masks what query `query` does not see of keys [begin_key, begin_key + n).
  void mask(int64_t query, int64_t begin_key, int64_t n, Real value, Real* scores) const {
    const int64_t from = std::clamp<int64_t>(first_key(query) - begin_key, 0, n);
    const int64_t to = std::clamp<int64_t>(end_key(query) - begin_key, from, n);
    std::fill(scores, scores + from, value);
    std::fill(scores + to, scores + n, value);
  }
};

Window window_of(const AttentionShape& shape, const View<const int32_t>& documents,
                 int64_t sequence) {
  return {.shape = &shape,
          .documents = documents.data(),
          .begin = sequence * shape.sequence,
          .end = (sequence + 1) * shape.sequence};
}

// Scaled scores of queries [first, first + rows) against keys [key, key + n).
void scores(const Sizes& z, Real scale, const View<const Real>& q, const View<const Real>& k,
            int64_t head, int64_t first, int64_t rows, int64_t key, int64_t n, Real* out) {
  cpu::serial_gemm(false, true, rows, n, z.n, scale, q.row(first) + head * z.n, q.row_stride(),
                   k.row(key) + head / z.group() * z.n, k.row_stride(), 0, out, n);
}

struct ForwardTask {
  int64_t head, first, rows;
};

// One block of queries of one head: running maximum and sum over tiles of keys.
void forward_block(const Sizes& z, const AttentionShape& shape, const Window& window,
                   const ForwardTask& task, const View<const Real>& q, const View<const Real>& k,
                   const View<const Real>& v, const View<Real>& out, const View<Real>& lse,
                   Real* scratch) {
  Real* tile = scratch;
  Real* highest = scratch + kQueries * kKeys;
  Real* sums = highest + kQueries;
  std::fill_n(highest, task.rows, kMasked);
  std::fill_n(sums, task.rows, Real{0});
  const int64_t begin = window.first_of(task.first, task.rows);
  const int64_t end = window.end_of(task.first, task.rows);
  Real* block_out = out.row(task.first) + task.head * z.nv;
  for (int64_t key = begin; key < end; key += kKeys) {
    const int64_t n = std::min(kKeys, end - key);
    scores(z, shape.scale, q, k, task.head, task.first, task.rows, key, n, tile);
    for (int64_t i = 0; i < task.rows; ++i) {
      Real* row = tile + i * n;
      window.mask(task.first + i, key, n, kMasked, row);
      const Real peak = std::max(highest[i], HECATE_ISA_CALL(maximum, n, row));
      if (peak == kMasked) {  // nothing seen so far
        std::fill_n(row, n, Real{0});
        continue;
      }
      const Real kept = std::exp(highest[i] - peak);
      sums[i] = kept * sums[i] + HECATE_ISA_CALL(exp_shifted, n, peak, row);
      if (key > begin) HECATE_ISA_CALL(scale, z.nv, kept, block_out + i * out.row_stride());
      highest[i] = peak;
    }
    cpu::serial_gemm(false, false, task.rows, z.nv, n, 1, tile, n,
                     v.row(key) + task.head / z.group() * z.nv, v.row_stride(),
                     key > begin ? Real{1} : Real{0}, block_out, out.row_stride());
  }
  for (int64_t i = 0; i < task.rows; ++i) {
    HECATE_ISA_CALL(scale, z.nv, Real{1} / sums[i], block_out + i * out.row_stride());
    lse.row(task.first + i)[task.head] = highest[i] + std::log(sums[i]);
  }
}

}  // namespace

void attention(Stream& s, const AttentionShape& shape, View<const Real> q, View<const Real> k,
               View<const Real> v, View<const int32_t> document_begin, View<Real> out,
               View<Real> lse) {
  const Sizes z = check("attention", shape, q, k, v, document_begin);
  HECATE_CHECK(
      out.shape() == (Shape{z.tokens, z.heads, z.nv}) && lse.shape() == (Shape{z.tokens, z.heads}),
      "attention: out ", out.shape(), ", lse ", lse.shape());
  ThreadPool& pool = cpu_stream(s, "attention").pool();
  const int64_t blocks = (shape.sequence + kQueries - 1) / kQueries;
  const size_t scratch = static_cast<size_t>(kQueries * kKeys + 2 * kQueries) * sizeof(Real);
  // Long blocks (late queries) first, so that the last tasks are short ones.
  pool.parallel_for(z.sequences() * z.heads * blocks, [&](int64_t index, int worker) {
    const int64_t block = blocks - 1 - index / (z.sequences() * z.heads);
    const int64_t rest = index % (z.sequences() * z.heads);
    const int64_t begin = rest / z.heads * shape.sequence + block * kQueries;
    const ForwardTask task{.head = rest % z.heads,
                           .first = begin,
                           .rows = std::min(kQueries, shape.sequence - block * kQueries)};
    forward_block(z, shape, window_of(shape, document_begin, rest / z.heads), task, q, k, v, out,
                  lse, reinterpret_cast<Real*>(pool.scratch(worker, scratch)));
  });
}

namespace {

struct BackwardInputs {
  View<const Real> q, k, v, out, lse, dout;
  View<Real> dq, dk, dv;
};

// Recomputes the probabilities of a tile and adds its part of every gradient.
void backward_tile(const Sizes& z, const AttentionShape& shape, const Window& window,
                   const BackwardInputs& in, int64_t head, int64_t first, int64_t rows, int64_t key,
                   int64_t n, bool first_tile, const Real* delta, Real* p, Real* dp) {
  const int64_t g = head / z.group();
  scores(z, shape.scale, in.q, in.k, head, first, rows, key, n, p);
  const Real* dout = in.dout.row(first) + head * z.nv;
  cpu::serial_gemm(false, true, rows, n, z.nv, 1, dout, in.dout.row_stride(),
                   in.v.row(key) + g * z.nv, in.v.row_stride(), 0, dp, n);
  for (int64_t i = 0; i < rows; ++i) {
    HECATE_ISA_CALL(exp_minus, n, in.lse.row(first + i)[head], p + i * n);
    window.mask(first + i, key, n, 0, p + i * n);
    HECATE_ISA_CALL(score_gradient, n, delta[i], shape.scale, p + i * n, dp + i * n);
  }
  cpu::serial_gemm(true, false, n, z.nv, rows, 1, p, n, dout, in.dout.row_stride(), 1,
                   in.dv.row(key) + g * z.nv, in.dv.row_stride());
  cpu::serial_gemm(true, false, n, z.n, rows, 1, dp, n, in.q.row(first) + head * z.n,
                   in.q.row_stride(), 1, in.dk.row(key) + g * z.n, in.dk.row_stride());
  cpu::serial_gemm(false, false, rows, z.n, n, 1, dp, n, in.k.row(key) + g * z.n, in.k.row_stride(),
                   first_tile ? Real{0} : Real{1}, in.dq.row(first) + head * z.n,
                   in.dq.row_stride());
}

// All queries of one key head of one sequence, in order: dk and dv belong to this task alone.
void backward_head(const Sizes& z, const AttentionShape& shape, const Window& window,
                   const BackwardInputs& in, int64_t g, Real* scratch) {
  Real* p = scratch;
  Real* dp = p + kQueries * kKeys;
  Real* delta = dp + kQueries * kKeys;
  for (int64_t t = window.begin; t < window.end; ++t) {
    std::fill_n(in.dk.row(t) + g * z.n, z.n, Real{0});
    std::fill_n(in.dv.row(t) + g * z.nv, z.nv, Real{0});
  }
  for (int64_t head = g * z.group(); head < (g + 1) * z.group(); ++head)
    for (int64_t first = window.begin; first < window.end; first += kQueries) {
      const int64_t rows = std::min(kQueries, window.end - first);
      for (int64_t i = 0; i < rows; ++i)
        delta[i] = HECATE_ISA_CALL(dot, z.nv, in.dout.row(first + i) + head * z.nv,
                                   in.out.row(first + i) + head * z.nv);
      const int64_t begin = window.first_of(first, rows), end = window.end_of(first, rows);
      for (int64_t key = begin; key < end; key += kKeys)
        backward_tile(z, shape, window, in, head, first, rows, key, std::min(kKeys, end - key),
                      key == begin, delta, p, dp);
    }
}

}  // namespace

void attention_backward(Stream& s, const AttentionShape& shape, View<const Real> q,
                        View<const Real> k, View<const Real> v, View<const int32_t> document_begin,
                        View<const Real> out, View<const Real> lse, View<const Real> dout,
                        View<Real> dq, View<Real> dk, View<Real> dv) {
  const Sizes z = check("attention_backward", shape, q, k, v, document_begin);
  HECATE_CHECK(out.shape() == (Shape{z.tokens, z.heads, z.nv}) && dout.shape() == out.shape() &&
                   lse.shape() == (Shape{z.tokens, z.heads}) && dq.shape() == q.shape() &&
                   dk.shape() == k.shape() && dv.shape() == v.shape(),
               "attention_backward: out ", out.shape(), ", dout ", dout.shape(), ", lse ",
               lse.shape(), ", dq ", dq.shape(), ", dk ", dk.shape(), ", dv ", dv.shape());
  const BackwardInputs in{
      .q = q, .k = k, .v = v, .out = out, .lse = lse, .dout = dout, .dq = dq, .dk = dk, .dv = dv};
  ThreadPool& pool = cpu_stream(s, "attention_backward").pool();
  const size_t scratch = static_cast<size_t>(2 * kQueries * kKeys + kQueries) * sizeof(Real);
  pool.parallel_for(z.sequences() * z.groups, [&](int64_t index, int worker) {
    backward_head(z, shape, window_of(shape, document_begin, index / z.groups), in,
                  index % z.groups, reinterpret_cast<Real*>(pool.scratch(worker, scratch)));
  });
}

void attention_decode(Stream& s, Real scale, View<const Real> q, View<const Real> keys,
                      View<const Real> values, View<const int32_t> lengths, View<Real> out) {
  const int64_t batch = q.dim(0), heads = q.dim(1), n = q.dim(2), capacity = keys.dim(1),
                groups = keys.dim(2), nv = values.dim(3);
  HECATE_CHECK(keys.shape() == (Shape{batch, capacity, groups, n}) &&
                   values.shape() == (Shape{batch, capacity, groups, nv}) &&
                   out.shape() == (Shape{batch, heads, nv}) && lengths.size() == batch &&
                   heads % groups == 0,
               "attention_decode: q ", q.shape(), ", keys ", keys.shape(), ", values ",
               values.shape(), ", lengths ", lengths.shape(), ", out ", out.shape());
  ThreadPool& pool = cpu_stream(s, "attention_decode").pool();
  pool.parallel_for(batch * heads, [&](int64_t index, int worker) {
    const int64_t b = index / heads, h = index % heads, g = h / (heads / groups);
    const int64_t length = lengths.data()[b];
    HECATE_CHECK(length >= 1 && length <= capacity, "attention_decode: length ", length, " of ",
                 capacity);
    auto* p =
        reinterpret_cast<Real*>(pool.scratch(worker, static_cast<size_t>(capacity) * sizeof(Real)));
    const Real* query = q.row(b) + h * n;
    for (int64_t t = 0; t < length; ++t)
      p[t] = scale * HECATE_ISA_CALL(dot, n, query, keys.row(b) + (t * groups + g) * n);
    const Real peak = HECATE_ISA_CALL(maximum, length, p);
    const Real sum = HECATE_ISA_CALL(exp_shifted, length, peak, p);
    Real* result = out.row(b) + h * nv;
    std::fill_n(result, nv, Real{0});
    for (int64_t t = 0; t < length; ++t)
      HECATE_ISA_CALL(add, nv, p[t] / sum, values.row(b) + (t * groups + g) * nv, result);
  });
}

}  // namespace hecate::kernels
