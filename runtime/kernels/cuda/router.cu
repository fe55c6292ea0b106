#include <vector>

#include "runtime/base/rng.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.cuh"
#include "runtime/kernels/cuda/math.cuh"
#include "runtime/kernels/cuda/ordered_choices.cuh"

namespace hecate::kernels::cuda {
namespace {

constexpr int64_t kBlock = 64;  // tokens of a partial sum
constexpr int kTokens = kThreads / kWarp;
constexpr int64_t kNone = int64_t{1} << 40;

__host__ __device__ bool renormalizes(Gate gate) {
  return gate == Gate::softmax_renormalized || gate == Gate::gshard || gate == Gate::sigmoid_bias;
}

__device__ int32_t expert_of(int32_t choice) {
  return choice >= 0 ? choice : -1 - choice;
}

__device__ int64_t first_token() {
  return (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
}
__device__ int64_t token_step() {
  return int64_t{gridDim.x} * blockDim.x / kWarp;
}
__device__ int lane_of() {
  return static_cast<int>(threadIdx.x) % kWarp;
}

// Log-sum-exp of a row by one warp: `shift` is its maximum.
__device__ Real sum_of_exp(const Real* logits, int64_t n, Real& shift) {
  shift = logits[0];
  for (int64_t e = lane_of(); e < n; e += kWarp) shift = logits[e] > shift ? logits[e] : shift;
  shift = warp_max(shift);
  Real sum = 0;
  for (int64_t e = lane_of(); e < n; e += kWarp) sum += Math::exp(logits[e] - shift);
  return warp_sum(sum);
}

__device__ void score(Gate gate, const Real* logits, int64_t n, Real* p) {
  if (gate == Gate::sigmoid_bias) {
    for (int64_t e = lane_of(); e < n; e += kWarp) p[e] = Math::sigmoid(logits[e]);
  } else {
    Real shift;
    const Real sum = sum_of_exp(logits, n, shift);
    for (int64_t e = lane_of(); e < n; e += kWarp) p[e] = Math::exp(logits[e] - shift) / sum;
  }
  __syncwarp();
}

// The least expert that is not among the first `k`.
__device__ int64_t least_other(const int32_t* experts, int64_t k) {
  for (int64_t e = 0;; ++e) {
    bool taken = false;
    for (int64_t i = 0; i < k; ++i) taken = taken || experts[i] == e;
    if (!taken) return e;
  }
}

// The K largest keys, falling, equal ones lower index first: the k-th is the best of what comes
// after the (k-1)-th. NaN comes last, so that the choice is valid whatever the logits are.
__device__ void select(const Real* keys, const Real* bias, int64_t n, int64_t top_k,
                       int32_t* experts) {
  Real last = 0;
  int64_t last_at = -1;
  for (int64_t k = 0; k < top_k; ++k) {
    Real best = 0;
    int64_t at = kNone;
    for (int64_t e = lane_of(); e < n; e += kWarp) {
      const Real key = keys[e] + (bias == nullptr ? Real(0) : bias[e]);
      const bool open = k == 0 || key < last || (key == last && e > last_at);
      if (key == key && open && (at == kNone || key > best)) best = key, at = e;
    }
    for (int distance = kWarp / 2; distance > 0; distance /= 2) {
      const Real other = __shfl_xor_sync(kAllLanes, best, distance);
      const int64_t other_at = __shfl_xor_sync(kAllLanes, at, distance);
      if (other_at == kNone) continue;
      if (at == kNone || other > best || (other == best && other_at < at))
        best = other, at = other_at;
    }
    // Only NaN are left: any expert that was not chosen yet is as good.
    if (at == kNone) at = least_other(experts, k);
    last = best;
    last_at = at;
    if (lane_of() == 0) experts[k] = static_cast<int32_t>(at);
    __syncwarp();
  }
}

// Softmax over the chosen logits alone: renormalised without 0/0 where all underflow.
__device__ void softmax_of_chosen(const Real* logits, const int32_t* experts, int64_t k,
                                  Real* weights) {
  Real shift = logits[expert_of(experts[0])], sum = 0;
  for (int64_t i = 1; i < k; ++i) {
    const Real value = logits[expert_of(experts[i])];
    shift = value > shift ? value : shift;
  }
  for (int64_t i = 0; i < k; ++i) sum += Math::exp(logits[expert_of(experts[i])] - shift);
  for (int64_t i = 0; i < k; ++i)
    weights[i] = Math::exp(logits[expert_of(experts[i])] - shift) / sum;
}

__device__ void weigh(Gate gate, const Real* logits, const Real* p, const int32_t* experts,
                      int64_t k, Real* weights) {
  if (gate == Gate::softmax_renormalized || gate == Gate::gshard)
    return softmax_of_chosen(logits, experts, k, weights);
  Real sum = 0;
  for (int64_t i = 0; i < k; ++i) sum += p[expert_of(experts[i])];
  if (gate == Gate::sigmoid_bias && sum < Real(1e-30))
    return softmax_of_chosen(logits, experts, k, weights);
  const Real scale = gate == Gate::sigmoid_bias ? Real(1) / sum : Real(1);
  for (int64_t i = 0; i < k; ++i) weights[i] = p[expert_of(experts[i])] * scale;
}

// One warp per token; `chosen` false: the experts are given.
__global__ void route_kernel(Gate gate, int64_t tokens, int64_t n, int64_t top_k,
                             Rows<const Real> logits, const Real* bias, Rows<Real> p, bool choose,
                             Rows<int32_t> experts, Rows<const int32_t> given, Rows<Real> weights) {
  for (int64_t t = first_token(); t < tokens; t += token_step()) {
    score(gate, logits[t], n, p[t]);
    if (choose) select(gate == Gate::sigmoid_bias ? p[t] : logits[t], bias, n, top_k, experts[t]);
    if (lane_of() == 0) weigh(gate, logits[t], p[t], given[t], top_k, weights[t]);
    __syncwarp();
  }
}

struct GateViews {
  Rows<const Real> logits, p;
  Rows<const int32_t> experts;
  Rows<const Real> dweights, dp;
  bool has_dp, per_token;
  Rows<Real> dlogits;
};

// The gradient on the probability of expert e of token t.
__device__ Real probability_gradient(Gate gate, const GateViews& v, int64_t t, int64_t e,
                                     int64_t top_k) {
  Real d = !v.has_dp ? Real(0) : (v.per_token ? v.dp[t][e] : v.dp.data[e]);
  if (renormalizes(gate)) return d;
  for (int64_t k = 0; k < top_k; ++k)
    if (expert_of(v.experts[t][k]) == e) d += v.dweights[t][k];
  return d;
}

// Adds the gradient of renormalised weights, a softmax over the chosen log-scores.
__device__ void renormalized_backward(Gate gate, const GateViews& v, int64_t t, int64_t top_k) {
  const Real *logits = v.logits[t], *p = v.p[t], *dw = v.dweights[t];
  const int32_t* experts = v.experts[t];
  // The weight of choice i, as weigh() has it, without room for all of them.
  Real shift = logits[expert_of(experts[0])], total = 0, scores = 0;
  for (int64_t i = 0; i < top_k; ++i) {
    const Real value = logits[expert_of(experts[i])];
    shift = value > shift ? value : shift;
    scores += p[expert_of(experts[i])];
  }
  for (int64_t i = 0; i < top_k; ++i) total += Math::exp(logits[expert_of(experts[i])] - shift);
  const bool by_score = gate == Gate::sigmoid_bias && !(scores < Real(1e-30));
  const auto weight = [&](int64_t i) {
    const int32_t e = expert_of(experts[i]);
    return by_score ? p[e] / scores : Math::exp(logits[e] - shift) / total;
  };
  Real inner = 0;
  for (int64_t i = 0; i < top_k; ++i) inner += weight(i) * dw[i];
  for (int64_t i = 0; i < top_k; ++i) {
    const int32_t e = expert_of(experts[i]);
    const Real slope = gate == Gate::sigmoid_bias ? Real(1) - p[e] : Real(1);
    v.dlogits[t][e] += weight(i) * slope * (dw[i] - inner);
  }
}

__global__ void route_backward_kernel(Gate gate, int64_t tokens, int64_t n, int64_t top_k,
                                      GateViews v, Real z_scale) {
  for (int64_t t = first_token(); t < tokens; t += token_step()) {
    const Real* p = v.p[t];
    Real inner = 0;
    for (int64_t e = lane_of(); e < n; e += kWarp)
      inner += probability_gradient(gate, v, t, e, top_k) * p[e];
    inner = warp_sum(inner);
    for (int64_t e = lane_of(); e < n; e += kWarp) {
      const Real d = probability_gradient(gate, v, t, e, top_k);
      v.dlogits[t][e] =
          gate == Gate::sigmoid_bias ? d * p[e] * (Real(1) - p[e]) : p[e] * (d - inner);
    }
    __syncwarp();
    if (renormalizes(gate) && lane_of() == 0) renormalized_backward(gate, v, t, top_k);
    __syncwarp();
    if (z_scale == Real(0)) continue;
    Real shift;
    const Real sum = sum_of_exp(v.logits[t], n, shift);
    const Real slope = 2 * z_scale * (shift + std::log(sum));
    for (int64_t e = lane_of(); e < n; e += kWarp)
      v.dlogits[t][e] += slope * Math::exp(v.logits[t][e] - shift) / sum;
  }
}

// Sums over a block of tokens by one warp: columns [0, n), then the squared log-sum-exp.
__global__ void statistics_kernel(int64_t tokens, int64_t n, Rows<const Real> logits,
                                  Rows<const Real> p, double* partial) {
  double* sums = partial + blockIdx.x * (n + 1);
  const int64_t first = blockIdx.x * kBlock;
  const int64_t end = first + kBlock < tokens ? first + kBlock : tokens;
  for (int64_t e = lane_of(); e < n; e += kWarp) {
    double sum = 0;
    for (int64_t t = first; t < end; ++t) sum += static_cast<double>(p[t][e]);
    sums[e] = sum;
  }
  double squares = 0;
  for (int64_t t = first; t < end; ++t) {
    Real shift;
    const Real sum = sum_of_exp(logits[t], n, shift);
    const double lse = static_cast<double>(shift) + std::log(static_cast<double>(sum));
    squares += lse * lse;
  }
  if (lane_of() == 0) sums[n] = squares;
}

}  // namespace

void route(Stream& s, Gate gate, View<const Real> logits, View<const Real> bias,
           View<Real> probabilities, View<int32_t> experts, View<Real> weights) {
  launch(s, "route", route_kernel, dim3(blocks_for(logits.rows(), kTokens)), kThreads, gate,
         logits.rows(), logits.dim(1), experts.dim(1), rows_of(logits), bias.data(),
         rows_of(probabilities), true, rows_of(experts), rows_of(View<const int32_t>(experts)),
         rows_of(weights));
}

void route_given(Stream& s, Gate gate, View<const Real> logits, View<const int32_t> experts,
                 View<Real> probabilities, View<Real> weights) {
  check_ids(s, "route_given", experts, logits.dim(1), true);
  launch(s, "route_given", route_kernel, dim3(blocks_for(logits.rows(), kTokens)), kThreads, gate,
         logits.rows(), logits.dim(1), experts.dim(1), rows_of(logits),
         static_cast<const Real*>(nullptr), rows_of(probabilities), false, Rows<int32_t>{},
         rows_of(experts), rows_of(weights));
}

void route_backward(Stream& s, Gate gate, View<const Real> logits, View<const Real> probabilities,
                    View<const int32_t> experts, View<const Real> dweights,
                    View<const Real> dprobabilities, Real z_scale, View<Real> dlogits) {
  check_ids(s, "route_backward", experts, logits.dim(1), true);
  const GateViews views{.logits = rows_of(logits),
                        .p = rows_of(probabilities),
                        .experts = rows_of(experts),
                        .dweights = rows_of(dweights),
                        .dp = rows_of(dprobabilities),
                        .has_dp = dprobabilities.data() != nullptr,
                        .per_token = dprobabilities.shape().rank() == 2,
                        .dlogits = rows_of(dlogits)};
  launch(s, "route_backward", route_backward_kernel, dim3(blocks_for(logits.rows(), kTokens)),
         kThreads, gate, logits.rows(), logits.dim(1), experts.dim(1), views, z_scale);
}

double router_statistics(Stream& s, View<const Real> logits, View<const Real> probabilities,
                         View<Real> sums) {
  const int64_t n = logits.dim(1), blocks = (logits.rows() + kBlock - 1) / kBlock;
  auto* partial = reinterpret_cast<double*>(
      s.workspace(static_cast<size_t>((blocks + 1) * (n + 1)) * sizeof(double)));
  launch(s, "router_statistics", statistics_kernel, dim3(static_cast<unsigned>(blocks)), kWarp,
         logits.rows(), n, rows_of(logits), rows_of(probabilities), partial);
  double* total = partial + blocks * (n + 1);
  Real* out = sums.data();
  map(s, "router_statistics", n + 1, [=] __device__(int64_t e) {
    double sum = 0;
    for (int64_t block = 0; block < blocks; ++block) sum += partial[block * (n + 1) + e];
    total[e] = sum;
    if (e < n) out[e] = static_cast<Real>(sum);
  });
  double squares = 0;
  read_back(s, total + n, &squares, 1);
  return squares;
}

void router_jitter(Stream& s, Real amount, uint64_t seed, uint64_t stream, int64_t first_row,
                   View<Real> logits) {
  const CounterRng rng(seed, stream ^ stream_of("router.jitter"));
  const int64_t n = logits.dim(1);
  const auto out = rows_of(logits);
  map_rows(s, "router_jitter", logits.rows(), n, [=] __device__(int64_t t, int64_t e) {
    const double u = rng.uniform(static_cast<uint64_t>((first_row + t) * n + e));
    out[t][e] *= Real(1) + amount * static_cast<Real>(2 * u - 1);
  });
}

void count_experts(Stream& s, View<const int32_t> experts, std::span<int64_t> counts) {
  const auto n = static_cast<int64_t>(counts.size());
  check_ids(s, "count_experts", experts, n, true);
  using Count = unsigned long long;
  auto* sums = reinterpret_cast<Count*>(s.workspace(counts.size() * sizeof(Count)));
  check(cudaMemsetAsync(sums, 0, counts.size() * sizeof(Count),
                        cuda_stream(s, "count_experts").get()),
        "cudaMemsetAsync");
  const auto in = rows_of(experts);
  map_rows(s, "count_experts", experts.rows(), experts.dim(1),
           [=] __device__(int64_t t, int64_t k) {
             if (in[t][k] >= 0) atomicAdd(sums + in[t][k], Count{1});
           });
  read_back(s, reinterpret_cast<const int64_t*>(sums), counts.data(), n);
}

int64_t drop_over_capacity(Stream& s, int64_t capacity, std::span<int64_t> taken,
                           View<int32_t> experts) {
  std::vector<int64_t> counts(taken.size());
  count_experts(s, experts, counts);
  auto* before = reinterpret_cast<int64_t*>(s.workspace(taken.size() * sizeof(int64_t)));
  check(cudaMemcpyAsync(before, taken.data(), taken.size() * sizeof(int64_t), cudaMemcpyDefault,
                        cuda_stream(s, "drop_over_capacity").get()),
        "cudaMemcpyAsync");
  const auto chosen = rows_of(View<const int32_t>(experts));
  const auto out = rows_of(experts);
  const int64_t top_k = experts.dim(1);
  for_ordered_choices(s, "drop_over_capacity", static_cast<int64_t>(taken.size()), experts.size(),
                      top_k, chosen, [=] __device__(int64_t e, int64_t c, int64_t rank) {
                        int32_t& choice = out[c / top_k][c % top_k];
                        if (before[e] + rank >= capacity) choice = -1 - choice;
                      });
  int64_t dropped = 0;
  for (size_t e = 0; e < taken.size(); ++e) {
    const int64_t room = std::max<int64_t>(0, capacity - taken[e]);
    const int64_t kept = std::min(counts[e], room);
    dropped += counts[e] - kept;
    taken[e] += kept;
  }
  s.synchronize();  // `taken` was read by the copy
  return dropped;
}

}  // namespace hecate::kernels::cuda
