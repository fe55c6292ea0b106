#include <vector>

#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.cuh"
#include "runtime/kernels/cuda/math.cuh"

/// One warp per (token, head): scores of 32 keys at a time, a running softmax, no T x T matrix.
/// Gradients of queries walk the keys, gradients of keys walk the queries, so that nothing is
/// added atomically and the order of every sum is fixed.
namespace hecate::kernels::cuda {
namespace {

constexpr int kWarps = 4;         // per block
constexpr int64_t kWidest = 512;  // of a head
constexpr int kPerLane = static_cast<int>(kWidest) / kWarp;

struct Problem {
  int64_t tokens, heads, groups, n, nv, sequence;
  bool causal;
  Real scale;
  const int32_t* documents;  // or null
  Rows<const Real> q, k, v;

  __device__ int64_t group_of(int64_t head) const { return head / (heads / groups); }
  __device__ int64_t first_key(int64_t query) const {
    const int64_t begin = query / sequence * sequence;
    return documents == nullptr || documents[query] < begin ? begin : documents[query];
  }
  __device__ bool sees(int64_t query, int64_t key) const {
    if (key < first_key(query)) return false;
    if (causal) return key <= query;
    return documents == nullptr || key <= query || documents[key] <= query;
  }
  __device__ int64_t end_key(int64_t query) const {
    return causal ? query + 1 : (query / sequence + 1) * sequence;
  }
};

__device__ int lane_of() {
  return static_cast<int>(threadIdx.x) % kWarp;
}
__device__ int64_t warp_index() {
  return (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
}
__device__ int64_t warp_count() {
  return int64_t{gridDim.x} * blockDim.x / kWarp;
}

__device__ Real dot(const Real* a, const Real* b, int64_t n) {
  Real sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// Adds factor * row to the lanes' shares of a row.
__device__ void add_row(Real factor, const Real* row, int64_t n, Real* share) {
  for (int j = 0; j < kPerLane; ++j) {
    const int64_t i = j * kWarp + lane_of();
    if (i < n) share[j] += factor * row[i];
  }
}
__device__ void store_row(Real factor, const Real* share, int64_t n, Real* row) {
  for (int j = 0; j < kPerLane; ++j) {
    const int64_t i = j * kWarp + lane_of();
    if (i < n) row[i] = factor * share[j];
  }
}

__global__ void forward_kernel(Problem p, Rows<Real> out, Rows<Real> lse) {
  for (int64_t w = warp_index(); w < p.tokens * p.heads; w += warp_count()) {
    const int64_t t = w / p.heads, h = w % p.heads, g = p.group_of(h);
    const Real* query = p.q[t] + h * p.n;
    Real share[kPerLane] = {}, peak = 0, sum = 0;
    bool any = false;
    for (int64_t key = p.first_key(t); key < p.end_key(t); key += kWarp) {
      const int64_t mine = key + lane_of();
      const bool seen = mine < p.end_key(t) && p.sees(t, mine);
      const Real score = seen ? p.scale * dot(query, p.k[mine] + g * p.n, p.n) : Real(0);
      const unsigned votes = __ballot_sync(kAllLanes, seen);
      if (votes == 0) continue;
      const Real fallback = __shfl_sync(kAllLanes, score, __ffs(static_cast<int>(votes)) - 1);
      Real highest = warp_max(seen ? score : fallback);
      if (any && peak > highest) highest = peak;
      const Real kept = any ? Math::exp(peak - highest) : Real(0);
      const Real weight = seen ? Math::exp(score - highest) : Real(0);
      sum = kept * sum + warp_sum(weight);
      for (int j = 0; j < kPerLane; ++j) share[j] *= kept;
      for (int lane = 0; lane < kWarp; ++lane)
        if ((votes >> lane) & 1u)
          add_row(__shfl_sync(kAllLanes, weight, lane), p.v[key + lane] + g * p.nv, p.nv, share);
      peak = highest;
      any = true;
    }
    store_row(Real(1) / sum, share, p.nv, out[t] + h * p.nv);
    if (lane_of() == 0) lse[t][h] = peak + std::log(sum);
  }
}

struct Gradients {
  Rows<const Real> out, lse, dout;
  Rows<Real> dq, dk, dv;
};

// delta[t,h] = dout . out (arXiv:2205.14135, algorithm 4, line 19).
__global__ void delta_kernel(Problem p, Gradients g, Real* delta) {
  for (int64_t w = warp_index(); w < p.tokens * p.heads; w += warp_count()) {
    const int64_t t = w / p.heads, at = w % p.heads * p.nv;
    Real sum = 0;
    for (int64_t i = lane_of(); i < p.nv; i += kWarp) sum += g.dout[t][at + i] * g.out[t][at + i];
    sum = warp_sum(sum);
    if (lane_of() == 0) delta[w] = sum;
  }
}

// Probability of (query, key) and the gradient of their score.
__device__ void score_gradient(const Problem& p, const Gradients& g, const Real* delta,
                               int64_t query, int64_t key, int64_t h, Real& weight, Real& slope) {
  const int64_t group = p.group_of(h);
  const Real score = p.scale * dot(p.q[query] + h * p.n, p.k[key] + group * p.n, p.n);
  weight = Math::exp(score - g.lse[query][h]);
  const Real inner = dot(g.dout[query] + h * p.nv, p.v[key] + group * p.nv, p.nv);
  slope = weight * (inner - delta[query * p.heads + h]) * p.scale;
}

__global__ void query_gradient_kernel(Problem p, Gradients g, const Real* delta) {
  for (int64_t w = warp_index(); w < p.tokens * p.heads; w += warp_count()) {
    const int64_t t = w / p.heads, h = w % p.heads;
    Real share[kPerLane] = {};
    for (int64_t key = p.first_key(t); key < p.end_key(t); key += kWarp) {
      const int64_t mine = key + lane_of();
      const bool seen = mine < p.end_key(t) && p.sees(t, mine);
      Real weight = 0, slope = 0;
      if (seen) score_gradient(p, g, delta, t, mine, h, weight, slope);
      const unsigned votes = __ballot_sync(kAllLanes, seen);
      for (int lane = 0; lane < kWarp; ++lane)
        if ((votes >> lane) & 1u)
          add_row(__shfl_sync(kAllLanes, slope, lane), p.k[key + lane] + p.group_of(h) * p.n, p.n,
                  share);
    }
    store_row(1, share, p.n, g.dq[t] + h * p.n);
  }
}

// One warp per (key token, key head): its query heads in order, their queries in order.
__global__ void key_gradient_kernel(Problem p, Gradients g, const Real* delta) {
  const int64_t per_group = p.heads / p.groups;
  for (int64_t w = warp_index(); w < p.tokens * p.groups; w += warp_count()) {
    const int64_t key = w / p.groups, group = w % p.groups;
    const int64_t begin = p.causal ? key : key / p.sequence * p.sequence;
    const int64_t end = (key / p.sequence + 1) * p.sequence;
    Real dkey[kPerLane] = {}, dvalue[kPerLane] = {};
    for (int64_t h = group * per_group; h < (group + 1) * per_group; ++h)
      for (int64_t query = begin; query < end; query += kWarp) {
        const int64_t mine = query + lane_of();
        const bool seen = mine < end && p.sees(mine, key);
        Real weight = 0, slope = 0;
        if (seen) score_gradient(p, g, delta, mine, key, h, weight, slope);
        const unsigned votes = __ballot_sync(kAllLanes, seen);
        for (int lane = 0; lane < kWarp; ++lane) {
          if (((votes >> lane) & 1u) == 0) continue;
          add_row(__shfl_sync(kAllLanes, slope, lane), p.q[query + lane] + h * p.n, p.n, dkey);
          add_row(__shfl_sync(kAllLanes, weight, lane), g.dout[query + lane] + h * p.nv, p.nv,
                  dvalue);
        }
      }
    store_row(1, dkey, p.n, g.dk[key] + group * p.n);
    store_row(1, dvalue, p.nv, g.dv[key] + group * p.nv);
  }
}

struct Decode {
  int64_t batch, heads, groups, n, nv;
  Real scale;
  Rows<const Real> q, keys, values;
  const int32_t* lengths;
};

__global__ void decode_kernel(Decode p, Rows<Real> out) {
  for (int64_t w = warp_index(); w < p.batch * p.heads; w += warp_count()) {
    const int64_t b = w / p.heads, h = w % p.heads, g = h / (p.heads / p.groups);
    const int64_t length = p.lengths[b];
    const auto score = [&](int64_t t) {
      return p.scale * dot(p.q[b] + h * p.n, p.keys[b] + (t * p.groups + g) * p.n, p.n);
    };
    Real peak = score(0), sum = 0;
    for (int64_t t = lane_of(); t < length; t += kWarp) {
      const Real value = score(t);
      peak = value > peak ? value : peak;
    }
    peak = warp_max(peak);
    Real share[kPerLane] = {};
    for (int64_t first = 0; first < length; first += kWarp) {
      const int64_t mine = first + lane_of();
      const Real weight = mine < length ? Math::exp(score(mine) - peak) : Real(0);
      sum += warp_sum(weight);
      for (int lane = 0; lane < kWarp && first + lane < length; ++lane)
        add_row(__shfl_sync(kAllLanes, weight, lane),
                p.values[b] + ((first + lane) * p.groups + g) * p.nv, p.nv, share);
    }
    store_row(Real(1) / sum, share, p.nv, out[b] + h * p.nv);
  }
}

Problem problem(const AttentionShape& shape, const View<const Real>& q, const View<const Real>& k,
                const View<const Real>& v, const View<const int32_t>& documents) {
  HECATE_CHECK(q.dim(2) <= kWidest && v.dim(2) <= kWidest, "attention: heads of ", q.dim(2),
               " and ", v.dim(2), " elements, at most ", kWidest, " on CUDA");
  return {.tokens = q.dim(0),
          .heads = q.dim(1),
          .groups = k.dim(1),
          .n = q.dim(2),
          .nv = v.dim(2),
          .sequence = shape.sequence,
          .causal = shape.causal,
          .scale = shape.scale,
          .documents = documents.data(),
          .q = rows_of(q),
          .k = rows_of(k),
          .v = rows_of(v)};
}

dim3 grid_for(int64_t warps) {
  return dim3(blocks_for(warps, kWarps));
}

}  // namespace

void attention(Stream& s, const AttentionShape& shape, View<const Real> q, View<const Real> k,
               View<const Real> v, View<const int32_t> document_begin, View<Real> out,
               View<Real> lse) {
  const Problem p = problem(shape, q, k, v, document_begin);
  launch(s, "attention", forward_kernel, grid_for(p.tokens * p.heads), kWarps * kWarp, p,
         rows_of(out), rows_of(lse));
}

void attention_backward(Stream& s, const AttentionShape& shape, View<const Real> q,
                        View<const Real> k, View<const Real> v, View<const int32_t> document_begin,
                        View<const Real> out, View<const Real> lse, View<const Real> dout,
                        View<Real> dq, View<Real> dk, View<Real> dv) {
  const Problem p = problem(shape, q, k, v, document_begin);
  const Gradients g{.out = rows_of(out),
                    .lse = rows_of(lse),
                    .dout = rows_of(dout),
                    .dq = rows_of(dq),
                    .dk = rows_of(dk),
                    .dv = rows_of(dv)};
  auto* delta =
      reinterpret_cast<Real*>(s.workspace(static_cast<size_t>(p.tokens * p.heads) * sizeof(Real)));
  const dim3 queries = grid_for(p.tokens * p.heads), keys = grid_for(p.tokens * p.groups);
  launch(s, "attention_backward", delta_kernel, queries, kWarps * kWarp, p, g, delta);
  launch(s, "attention_backward", query_gradient_kernel, queries, kWarps * kWarp, p, g, delta);
  launch(s, "attention_backward", key_gradient_kernel, keys, kWarps * kWarp, p, g, delta);
}

void attention_decode(Stream& s, Real scale, View<const Real> q, View<const Real> keys,
                      View<const Real> values, View<const int32_t> lengths, View<Real> out) {
  HECATE_CHECK(q.dim(2) <= kWidest && values.dim(3) <= kWidest, "attention_decode: heads of ",
               q.dim(2), " and ", values.dim(3), " elements, at most ", kWidest, " on CUDA");
  std::vector<int32_t> length(static_cast<size_t>(q.dim(0)));
  read_back(s, lengths.data(), length.data(), q.dim(0));
  for (const int32_t one : length)
    HECATE_CHECK(one >= 1 && one <= keys.dim(1), "attention_decode: length ", one, " of ",
                 keys.dim(1));
  const Decode p{.batch = q.dim(0),
                 .heads = q.dim(1),
                 .groups = keys.dim(2),
                 .n = q.dim(2),
                 .nv = values.dim(3),
                 .scale = scale,
                 .q = rows_of(q),
                 .keys = rows_of(keys),
                 .values = rows_of(values),
                 .lengths = lengths.data()};
  launch(s, "attention_decode", decode_kernel, grid_for(p.batch * p.heads), kWarps * kWarp, p,
         rows_of(out));
}

}  // namespace hecate::kernels::cuda
