#include "runtime/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/elementwise.h"
#include "runtime/kernels/cpu/simd/sequence.h"
#include "runtime/kernels/cpu/simd/tile.h"
#include "runtime/kernels/cuda/kernels.h"

namespace hecate::kernels {
namespace {

// Rows and columns of a score tile: forward ones are low, so that little lies beyond the diagonal;
// backward ones are high, since their rows are the inner dimension of the key gradients, and
// narrow, so that packed keys, their gradients and both tiles stay in the second cache.
constexpr int64_t kQueries = 12, kKeys = 512;
constexpr int64_t kBackwardQueries = 96, kBackwardKeys = 256;
constexpr int64_t kStep = 12;  // rows of a backward tile that are cut at the same key
constexpr int64_t kPad = 16;   // columns are whole vectors
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

int64_t whole_vectors(int64_t n) {
  return (n + kPad - 1) / kPad * kPad;
}

// Row length of a tile of n columns: whole vectors, and never a multiple of 1 KiB, which would put
// all rows into a few sets of the first cache.
int64_t padded(int64_t n) {
  const int64_t whole = whole_vectors(n);
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
  HECATE_ISA_CALL(tile_product, rows.count, whole_vectors(n), z.n, shape.scale,
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
  if (s.device() == DeviceKind::cuda)
    return cuda::attention(s, shape, q, k, v, document_begin, out, lse);
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

// What one task works on: a chunk of keys, their gradients, a block of queries and its tiles.
struct BackwardScratch {
  Real *keys, *key_columns, *value_columns, *dkeys, *dvalues, *queries, *douts, *p, *dp;
  static size_t bytes(const Sizes& z) {
    const int64_t elements = padded(kBackwardKeys) * (3 * z.n + 2 * z.nv + 2 * kBackwardQueries) +
                             kBackwardQueries * (z.n + z.nv);
    return static_cast<size_t>(elements) * sizeof(Real);
  }
  BackwardScratch(const Sizes& z, std::byte* memory) : keys(reinterpret_cast<Real*>(memory)) {
    key_columns = keys + padded(kBackwardKeys) * z.n;
    value_columns = key_columns + padded(kBackwardKeys) * z.n;
    dkeys = value_columns + padded(kBackwardKeys) * z.nv;
    dvalues = dkeys + padded(kBackwardKeys) * z.n;
    queries = dvalues + padded(kBackwardKeys) * z.nv;
    douts = queries + kBackwardQueries * z.n;
    p = douts + kBackwardQueries * z.nv;
    dp = p + padded(kBackwardKeys) * kBackwardQueries;
  }
};

// Rows of one head lie a whole token apart, which the hardware does not foresee.
void prefetch(const View<const Real>& x, int64_t head, int64_t first, int64_t end) {
  constexpr int64_t kLine = 64 / sizeof(Real);
  const int64_t size = x.dim(2);
  for (int64_t t = first; t < end; ++t)
    for (int64_t i = 0; i < size; i += kLine) __builtin_prefetch(x.row(t) + head * size + i);
}

struct BackwardTile {
  int64_t head;
  Rows rows;
  Keys keys;
  int64_t n, width;  // keys that its rows see, row length of the tiles
};

// Recomputes the probabilities of `count` rows of a tile from row `first` on, and the gradients of
// their scores and queries.
void backward_rows(const Sizes& z, const AttentionShape& shape, const Window& window,
                   const BackwardViews& in, const BackwardTile& tile, int64_t first, int64_t count,
                   const BackwardScratch& scratch) {
  const Keys& keys = tile.keys;
  const int64_t query = tile.rows.first + first, packed = padded(keys.count);
  const int64_t n = std::clamp<int64_t>(window.end_of(query, count) - keys.first, 0, tile.n);
  const int64_t later = query + kBackwardQueries, end = std::min(window.end, later + kStep);
  prefetch(in.out, tile.head, query + kStep, std::min(window.end, query + 2 * kStep));
  prefetch(in.q, tile.head, later, end);
  prefetch(in.dout, tile.head, later, end);
  Real *p = scratch.p + first * tile.width, *dp = scratch.dp + first * tile.width;
  const Real* douts = scratch.douts + first * z.nv;
  HECATE_ISA_CALL(tile_product, count, whole_vectors(n), z.n, shape.scale,
                  scratch.queries + first * z.n, z.n, 1, scratch.key_columns, packed, false, p,
                  tile.width);
  HECATE_ISA_CALL(tile_product, count, whole_vectors(n), z.nv, Real{1}, douts, z.nv, 1,
                  scratch.value_columns, packed, false, dp, tile.width);
  for (int64_t i = 0; i < count; ++i) {
    Real *p_row = p + i * tile.width, *dp_row = dp + i * tile.width;
    const Real delta =
        HECATE_ISA_CALL(dot, z.nv, douts + i * z.nv, in.out.row(query + i) + tile.head * z.nv);
    const Visible seen = window.visible(query + i, keys.first, n);
    seen.clear_rest(tile.n, p_row);
    seen.clear_rest(tile.n, dp_row);
    HECATE_ISA_CALL(score_gradient, seen.end - seen.begin, in.lse.row(query + i)[tile.head], delta,
                    shape.scale, p_row + seen.begin, dp_row + seen.begin);
  }
  HECATE_ISA_CALL(tile_product, count, z.n, n, Real{1}, dp, tile.width, 1, scratch.keys, z.n,
                  !keys.earliest, in.dq.row(query) + tile.head * z.n, in.dq.row_stride());
}

// Adds what rows from `row` on give to the gradients of `count` keys of the chunk from `key` on.
void backward_keys(const Sizes& z, const BackwardTile& tile, int64_t key, int64_t count,
                   int64_t row, const BackwardScratch& scratch) {
  const int64_t rows = tile.rows.count - row, at = row * tile.width + key;
  HECATE_ISA_CALL(tile_product, count, z.nv, rows, Real{1}, scratch.p + at, 1, tile.width,
                  scratch.douts + row * z.nv, z.nv, true, scratch.dvalues + key * z.nv, z.nv);
  HECATE_ISA_CALL(tile_product, count, z.n, rows, Real{1}, scratch.dp + at, 1, tile.width,
                  scratch.queries + row * z.n, z.n, true, scratch.dkeys + key * z.n, z.n);
}

void backward_tile(const Sizes& z, const AttentionShape& shape, const Window& window,
                   const BackwardViews& in, int64_t head, const Rows& rows, const Keys& keys,
                   const BackwardScratch& scratch) {
  const int64_t n = std::min(keys.count, window.end_of(rows.first, rows.count) - keys.first);
  const BackwardTile tile{.head = head, .rows = rows, .keys = keys, .n = n, .width = padded(n)};
  pack(in.q, head, rows.first, rows.count, scratch.queries);
  pack(in.dout, head, rows.first, rows.count, scratch.douts);
  for (int64_t i = 0; i < rows.count; i += kStep)
    backward_rows(z, shape, window, in, tile, i, std::min(kStep, rows.count - i), scratch);
  // Keys on the diagonal are seen only by the rows below them.
  const int64_t below = rows.first - keys.first;
  const int64_t common = shape.causal ? std::clamp<int64_t>(below, 0, n) : n;
  backward_keys(z, tile, 0, common, 0, scratch);
  for (int64_t key = common; key < n; key += kStep)
    backward_keys(z, tile, key, std::min(kStep, n - key), key - below, scratch);
}

void unpack(const Real* rows, int64_t head, int64_t first, int64_t n, const View<Real>& x) {
  const int64_t size = x.dim(2);
  for (int64_t i = 0; i < n; ++i)
    std::copy_n(rows + i * size, size, x.row(first + i) + head * size);
}

// All queries of one key head of one sequence, in order: dk and dv belong to this task alone. They
// are summed in scratch: their rows lie a whole token apart, which maps to few sets of a cache.
void backward_head(const Sizes& z, const AttentionShape& shape, const Window& window,
                   const BackwardViews& in, int64_t g, const BackwardScratch& scratch) {
  for (int64_t key = window.begin; key < window.end; key += kBackwardKeys) {
    const Keys keys{.first = key,
                    .count = std::min(kBackwardKeys, window.end - key),
                    .earliest = key == window.begin};
    pack(in.k, g, keys.first, keys.count, scratch.keys);
    pack_transposed(in.k, g, keys.first, keys.count, scratch.key_columns);
    pack_transposed(in.v, g, keys.first, keys.count, scratch.value_columns);
    std::fill_n(scratch.dkeys, keys.count * z.n, Real{0});
    std::fill_n(scratch.dvalues, keys.count * z.nv, Real{0});
    for (int64_t head = g * z.group(); head < (g + 1) * z.group(); ++head)
      for (int64_t t = window.begin; t < window.end; t += kBackwardQueries) {
        const Rows rows{.first = t, .count = std::min(kBackwardQueries, window.end - t)};
        if (window.end_of(rows.first, rows.count) > key)
          backward_tile(z, shape, window, in, head, rows, keys, scratch);
      }
    unpack(scratch.dkeys, g, keys.first, keys.count, in.dk);
    unpack(scratch.dvalues, g, keys.first, keys.count, in.dv);
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
  if (s.device() == DeviceKind::cuda)
    return cuda::attention_backward(s, shape, q, k, v, document_begin, out, lse, dout, dq, dk, dv);
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
  if (s.device() == DeviceKind::cuda)
    return cuda::attention_decode(s, scale, q, keys, values, lengths, out);
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
