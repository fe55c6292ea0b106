#include "runtime/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/elementwise.h"
#include "runtime/kernels/cpu/simd/sequence.h"
#include "runtime/kernels/cpu/simd/tile.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kQueries = 48;  // rows of a score tile
constexpr int64_t kKeys = 512;    // columns of a score tile, at most
constexpr int64_t kPad = 16;      // columns are whole vectors
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

struct Visible {
  int64_t begin, end;
  // Clears the row outside.
  void clear_rest(int64_t n, Real* row) const {
    std::fill(row, row + begin, Real{0});
    std::fill(row + end, row + n, Real{0});
  }
};

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
  int64_t end_of(int64_t first, int64_t rows) const {
    int64_t most = end_key(first);
    for (int64_t i = 1; i < rows; ++i) most = std::max(most, end_key(first + i));
    return most;
  }
  // The part of keys [first, first + n) that a query sees, counted from `first`.
  Visible visible(int64_t query, int64_t first, int64_t n) const {
    const int64_t from = std::clamp<int64_t>(first_key(query) - first, 0, n);
    return {.begin = from, .end = std::clamp<int64_t>(end_key(query) - first, from, n)};
  }
};

Window window_of(const AttentionShape& shape, const View<const int32_t>& documents,
                 int64_t sequence) {
  return {.shape = &shape,
          .documents = documents.data(),
          .begin = sequence * shape.sequence,
          .end = (sequence + 1) * shape.sequence};
}

// Row length of a tile of n columns: whole vectors, and never a multiple of 1 KiB, which would put
// all rows into a few sets of the first cache.
int64_t padded(int64_t n) {
  const int64_t whole = (n + kPad - 1) / kPad * kPad;
  return whole % 128 == 0 ? whole + kPad : whole;
}

// Rows [first, first + n) of one head as [size, padded(n)], so that products with them read along
// rows.
void pack_transposed(const View<const Real>& x, int64_t head, int64_t first, int64_t n, Real* out) {
  const int64_t size = x.dim(2);
  HECATE_ISA_CALL(transpose, n, size, x.row(first) + head * size, x.row_stride(), out, padded(n));
}

// The same rows one after the other.
void pack(const View<const Real>& x, int64_t head, int64_t first, int64_t n, Real* out) {
  const int64_t size = x.dim(2);
  for (int64_t i = 0; i < n; ++i) std::copy_n(x.row(first + i) + head * size, size, out + i * size);
}

struct Rows {
  int64_t first, count;
};

struct Keys {
  int64_t first, count;
  bool earliest;  // nothing of this sequence was seen before
};

// Running softmax of one head: row statistics of the whole sequence, and a tile of scores.
struct ForwardScratch {
  Real *keys, *values, *tile, *highest, *sums;
  static size_t bytes(const Sizes& z) {
    const int64_t elements = padded(kKeys) * (z.n + z.nv + kQueries) + 2 * z.sequence;
    return static_cast<size_t>(elements) * sizeof(Real);
  }
  ForwardScratch(const Sizes& z, std::byte* memory) : keys(reinterpret_cast<Real*>(memory)) {
    values = keys + padded(kKeys) * z.n;
    tile = values + padded(kKeys) * z.nv;
    highest = tile + padded(kKeys) * kQueries;
    sums = highest + z.sequence;
  }
};

struct ForwardViews {
  View<const Real> q, k, v;
  View<Real> out, lse;
};

// Adds the keys of a chunk to a block of queries.
void forward_tile(const Sizes& z, const AttentionShape& shape, const Window& window,
                  const ForwardViews& in, int64_t head, const Rows& rows, const Keys& keys,
                  const ForwardScratch& scratch) {
  // Causal queries see only the first keys of the chunk.
  const int64_t n = std::min(keys.count, window.end_of(rows.first, rows.count) - keys.first);
  const int64_t width = padded(n), packed = padded(keys.count);
  HECATE_ISA_CALL(tile_product, rows.count, width, z.n, shape.scale,
                  in.q.row(rows.first) + head * z.n, in.q.row_stride(), 1, scratch.keys, packed,
                  false, scratch.tile, width);
  Real* out = in.out.row(rows.first) + head * z.nv;
  for (int64_t i = 0; i < rows.count; ++i) {
    Real* row = scratch.tile + i * width;
    const int64_t at = rows.first + i - window.begin;
    Real &highest = scratch.highest[at], &sum = scratch.sums[at];
    // Only what is seen meets exp: far below the maximum it would make slow subnormal numbers.
    const Visible seen = window.visible(rows.first + i, keys.first, n);
    seen.clear_rest(n, row);
    if (seen.begin == seen.end) continue;
    const int64_t count = seen.end - seen.begin;
    const Real peak = std::max(highest, HECATE_ISA_CALL(maximum, count, row + seen.begin));
    const Real kept = std::exp(highest - peak);
    sum = kept * sum + HECATE_ISA_CALL(exp_shifted, count, peak, row + seen.begin);
    if (!keys.earliest) HECATE_ISA_CALL(scale, z.nv, kept, out + i * in.out.row_stride());
    highest = peak;
  }
  HECATE_ISA_CALL(tile_product, rows.count, z.nv, n, Real{1}, scratch.tile, width, 1,
                  scratch.values, z.nv, !keys.earliest, out, in.out.row_stride());
}

// Queries [first, end) of one head against all keys that they see.
void forward_rows(const Sizes& z, const AttentionShape& shape, const Window& window,
                  const ForwardViews& in, int64_t head, int64_t first, int64_t end,
                  const ForwardScratch& scratch) {
  std::fill_n(scratch.highest, z.sequence, kMasked);
  std::fill_n(scratch.sums, z.sequence, Real{0});
  const int64_t last_key = shape.causal ? end : window.end;
  for (int64_t key = window.begin; key < last_key; key += kKeys) {
    const Keys keys{
        .first = key, .count = std::min(kKeys, last_key - key), .earliest = key == window.begin};
    pack_transposed(in.k, head / z.group(), keys.first, keys.count, scratch.keys);
    pack(in.v, head / z.group(), keys.first, keys.count, scratch.values);
    for (int64_t t = first; t < end; t += kQueries) {
      const Rows rows{.first = t, .count = std::min(kQueries, end - t)};
      if (window.end_of(rows.first, rows.count) > key)
        forward_tile(z, shape, window, in, head, rows, keys, scratch);
    }
  }
  for (int64_t t = first; t < end; ++t) {
    const int64_t at = t - window.begin;
    HECATE_ISA_CALL(scale, z.nv, Real{1} / scratch.sums[at], in.out.row(t) + head * z.nv);
    in.lse.row(t)[head] = scratch.highest[at] + std::log(scratch.sums[at]);
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
  const ForwardViews in{.q = q, .k = k, .v = v, .out = out, .lse = lse};
  // Few heads are cut along their queries, so that every thread has work.
  const int64_t heads = z.sequences() * z.heads;
  const int64_t blocks = (shape.sequence + kQueries - 1) / kQueries;
  const int64_t parts = std::clamp<int64_t>(2 * pool.threads() / heads, 1, blocks);
  pool.parallel_for(heads * parts, [&](int64_t index, int worker) {
    const int64_t part = parts - 1 - index / heads, rest = index % heads;
    const Window window = window_of(shape, document_begin, rest / z.heads);
    const int64_t first = window.begin + blocks * part / parts * kQueries;
    const int64_t end = std::min(window.end, window.begin + blocks * (part + 1) / parts * kQueries);
    const ForwardScratch scratch(z, pool.scratch(worker, ForwardScratch::bytes(z)));
    forward_rows(z, shape, window, in, rest % z.heads, first, end, scratch);
  });
}

namespace {

struct BackwardViews {
  View<const Real> q, k, v, out, lse, dout;
  View<Real> dq, dk, dv;
};

struct BackwardScratch {
  Real *keys, *key_columns, *value_columns, *queries, *douts, *p, *dp;
  static size_t bytes(const Sizes& z) {
    const int64_t elements =
        padded(kKeys) * (2 * z.n + z.nv + 2 * kQueries) + kQueries * (z.n + z.nv);
    return static_cast<size_t>(elements) * sizeof(Real);
  }
  BackwardScratch(const Sizes& z, std::byte* memory) : keys(reinterpret_cast<Real*>(memory)) {
    key_columns = keys + padded(kKeys) * z.n;
    value_columns = key_columns + padded(kKeys) * z.n;
    queries = value_columns + padded(kKeys) * z.nv;
    douts = queries + kQueries * z.n;
    p = douts + kQueries * z.nv;
    dp = p + padded(kKeys) * kQueries;
  }
};

// Recomputes the probabilities of a tile and adds its part of every gradient.
void backward_tile(const Sizes& z, const AttentionShape& shape, const Window& window,
                   const BackwardViews& in, int64_t head, const Rows& rows, const Keys& keys,
                   const BackwardScratch& scratch) {
  const int64_t g = head / z.group();
  const int64_t n = std::min(keys.count, window.end_of(rows.first, rows.count) - keys.first);
  const int64_t width = padded(n), packed = padded(keys.count);
  pack(in.q, head, rows.first, rows.count, scratch.queries);
  pack(in.dout, head, rows.first, rows.count, scratch.douts);
  HECATE_ISA_CALL(tile_product, rows.count, width, z.n, shape.scale, scratch.queries, z.n, 1,
                  scratch.key_columns, packed, false, scratch.p, width);
  HECATE_ISA_CALL(tile_product, rows.count, width, z.nv, Real{1}, scratch.douts, z.nv, 1,
                  scratch.value_columns, packed, false, scratch.dp, width);
  for (int64_t i = 0; i < rows.count; ++i) {
    const int64_t t = rows.first + i;
    Real *p = scratch.p + i * width, *dp = scratch.dp + i * width;
    const Real delta =
        HECATE_ISA_CALL(dot, z.nv, scratch.douts + i * z.nv, in.out.row(t) + head * z.nv);
    const Visible seen = window.visible(t, keys.first, n);
    seen.clear_rest(n, p);
    seen.clear_rest(n, dp);
    const int64_t count = seen.end - seen.begin;
    HECATE_ISA_CALL(exp_minus, count, in.lse.row(t)[head], p + seen.begin);
    HECATE_ISA_CALL(score_gradient, count, delta, shape.scale, p + seen.begin, dp + seen.begin);
  }
  HECATE_ISA_CALL(tile_product, n, z.nv, rows.count, Real{1}, scratch.p, 1, width, scratch.douts,
                  z.nv, true, in.dv.row(keys.first) + g * z.nv, in.dv.row_stride());
  HECATE_ISA_CALL(tile_product, n, z.n, rows.count, Real{1}, scratch.dp, 1, width, scratch.queries,
                  z.n, true, in.dk.row(keys.first) + g * z.n, in.dk.row_stride());
  HECATE_ISA_CALL(tile_product, rows.count, z.n, n, Real{1}, scratch.dp, width, 1, scratch.keys,
                  z.n, !keys.earliest, in.dq.row(rows.first) + head * z.n, in.dq.row_stride());
}

// All queries of one key head of one sequence, in order: dk and dv belong to this task alone.
void backward_head(const Sizes& z, const AttentionShape& shape, const Window& window,
                   const BackwardViews& in, int64_t g, const BackwardScratch& scratch) {
  for (int64_t t = window.begin; t < window.end; ++t) {
    std::fill_n(in.dk.row(t) + g * z.n, z.n, Real{0});
    std::fill_n(in.dv.row(t) + g * z.nv, z.nv, Real{0});
  }
  for (int64_t key = window.begin; key < window.end; key += kKeys) {
    const Keys keys{
        .first = key, .count = std::min(kKeys, window.end - key), .earliest = key == window.begin};
    pack(in.k, g, keys.first, keys.count, scratch.keys);
    pack_transposed(in.k, g, keys.first, keys.count, scratch.key_columns);
    pack_transposed(in.v, g, keys.first, keys.count, scratch.value_columns);
    for (int64_t head = g * z.group(); head < (g + 1) * z.group(); ++head)
      for (int64_t t = window.begin; t < window.end; t += kQueries) {
        const Rows rows{.first = t, .count = std::min(kQueries, window.end - t)};
        if (window.end_of(rows.first, rows.count) > key)
          backward_tile(z, shape, window, in, head, rows, keys, scratch);
      }
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
  const BackwardViews in{
      .q = q, .k = k, .v = v, .out = out, .lse = lse, .dout = dout, .dq = dq, .dk = dk, .dv = dv};
  ThreadPool& pool = cpu_stream(s, "attention_backward").pool();
  pool.parallel_for(z.sequences() * z.groups, [&](int64_t index, int worker) {
    const BackwardScratch scratch(z, pool.scratch(worker, BackwardScratch::bytes(z)));
    backward_head(z, shape, window_of(shape, document_begin, index / z.groups), in,
                  index % z.groups, scratch);
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
