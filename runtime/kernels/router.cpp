#include "runtime/kernels/router.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/rng.h"
#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/elementwise.h"
#include "runtime/kernels/cuda/kernels.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kGrain = 16;  // tokens
constexpr int64_t kBlock = 64;  // tokens of a partial sum

bool renormalizes(Gate gate) {
  return gate == Gate::softmax_renormalized || gate == Gate::gshard || gate == Gate::sigmoid_bias;
}

// The expert of a choice, dropped or not.
int32_t expert_of(int32_t choice) {
  return choice >= 0 ? choice : -1 - choice;
}

// Softmax of a row; returns its log-sum-exp.
Real softmax(const Real* logits, int64_t n, Real* out) {
  const Real shift = HECATE_ISA_CALL(maximum, n, logits);
  std::copy_n(logits, n, out);
  const Real sum = HECATE_ISA_CALL(exp_shifted, n, shift, out);
  HECATE_ISA_CALL(scale, n, Real{1} / sum, out);
  return shift + std::log(sum);
}

double log_sum_exp(const Real* logits, int64_t n) {
  const Real shift = HECATE_ISA_CALL(maximum, n, logits);
  const Real sum = HECATE_ISA_CALL(sum_of_exp, n, shift, logits);
  return static_cast<double>(shift) + std::log(static_cast<double>(sum));
}

void score(Gate gate, const Real* logits, int64_t n, Real* probabilities) {
  if (gate == Gate::sigmoid_bias)
    HECATE_ISA_CALL(sigmoid, n, logits, probabilities);
  else
    softmax(logits, n, probabilities);
}

// The K largest of key + bias, falling; equal ones lower index first. NaN is never larger, so that
// the choice is valid whatever the logits are.
void select(const Real* keys, const Real* bias, int64_t n, int64_t k, int32_t* experts) {
  const auto key = [&](int64_t e) { return keys[e] + (bias != nullptr ? bias[e] : Real{0}); };
  int64_t chosen = 0;
  for (int64_t e = 0; e < n; ++e) {
    const Real value = key(e);
    if (chosen == k && !(value > key(experts[k - 1]))) continue;
    int64_t at = chosen < k ? chosen++ : k - 1;
    for (; at > 0 && value > key(experts[at - 1]); --at) experts[at] = experts[at - 1];
    experts[at] = static_cast<int32_t>(e);
  }
}

// Softmax over the chosen logits alone: what renormalising gives, without its 0/0 where every
// chosen probability underflows.
void softmax_of_chosen(const Real* logits, const int32_t* experts, int64_t k, Real* weights) {
  Real shift = logits[expert_of(experts[0])], sum = 0;
  for (int64_t i = 1; i < k; ++i) shift = std::max(shift, logits[expert_of(experts[i])]);
  for (int64_t i = 0; i < k; ++i) {
    weights[i] = std::exp(logits[expert_of(experts[i])] - shift);
    sum += weights[i];
  }
  for (int64_t i = 0; i < k; ++i) weights[i] /= sum;
}

void weigh(Gate gate, const Real* logits, const Real* probabilities, const int32_t* experts,
           int64_t k, Real* weights) {
  if (gate == Gate::softmax_renormalized || gate == Gate::gshard)
    return softmax_of_chosen(logits, experts, k, weights);
  Real sum = 0;
  for (int64_t i = 0; i < k; ++i) {
    weights[i] = probabilities[expert_of(experts[i])];
    sum += weights[i];
  }
  if (gate != Gate::sigmoid_bias) return;
  // So far down a sigmoid is an exponential.
  if (sum < Real(1e-30)) return softmax_of_chosen(logits, experts, k, weights);
  for (int64_t i = 0; i < k; ++i) weights[i] /= sum;
}

void check(const char* name, const View<const Real>& logits, const Shape& probabilities,
           const Shape& experts, const Shape& weights) {
  HECATE_CHECK(logits.shape().rank() == 2 && probabilities == logits.shape() &&
                   experts == weights && experts[0] == logits.dim(0) && experts[1] >= 1 &&
                   experts[1] <= logits.dim(1),
               name, ": logits ", logits.shape(), ", probabilities ", probabilities, ", experts ",
               experts, ", weights ", weights);
}

void check_experts(const char* name, const View<const int32_t>& experts, int64_t count) {
  for (int64_t t = 0; t < experts.rows(); ++t)
    for (int64_t k = 0; k < experts.dim(1); ++k)
      HECATE_CHECK(expert_of(experts.row(t)[k]) < count, name, ": expert ", experts.row(t)[k],
                   " chosen by token ", t, " of ", count, " experts");
}

template <class Body>
void for_tokens(Stream& s, const char* name, int64_t tokens, const Body& body) {
  cpu_stream(s, name).pool().parallel_ranges(tokens, kGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) body(t);
  });
}

}  // namespace

void route(Stream& s, Gate gate, View<const Real> logits, View<const Real> bias,
           View<Real> probabilities, View<int32_t> experts, View<Real> weights) {
  check("route", logits, probabilities.shape(), experts.shape(), weights.shape());
  HECATE_CHECK(bias.data() == nullptr || bias.size() == logits.dim(1), "route: bias ", bias.shape(),
               " for ", logits.dim(1), " experts");
  if (s.device() == DeviceKind::cuda)
    return cuda::route(s, gate, logits, bias, probabilities, experts, weights);
  for_tokens(s, "route", logits.rows(), [&](int64_t t) {
    score(gate, logits.row(t), logits.dim(1), probabilities.row(t));
    select(gate == Gate::sigmoid_bias ? probabilities.row(t) : logits.row(t), bias.data(),
           logits.dim(1), experts.dim(1), experts.row(t));
    weigh(gate, logits.row(t), probabilities.row(t), experts.row(t), experts.dim(1),
          weights.row(t));
  });
}

void route_given(Stream& s, Gate gate, View<const Real> logits, View<const int32_t> experts,
                 View<Real> probabilities, View<Real> weights) {
  check("route_given", logits, probabilities.shape(), experts.shape(), weights.shape());
  if (s.device() == DeviceKind::cuda)
    return cuda::route_given(s, gate, logits, experts, probabilities, weights);
  check_experts("route_given", experts, logits.dim(1));
  for_tokens(s, "route_given", logits.rows(), [&](int64_t t) {
    score(gate, logits.row(t), logits.dim(1), probabilities.row(t));
    weigh(gate, logits.row(t), probabilities.row(t), experts.row(t), experts.dim(1),
          weights.row(t));
  });
}

namespace {

// Scratch of one worker: gradient on the probabilities [E], a softmax [E], weights [K].
struct GateScratch {
  GateScratch(ThreadPool& pool, int worker, int64_t experts, int64_t top_k)
      : dp(reinterpret_cast<Real*>(
            pool.scratch(worker, static_cast<size_t>(2 * experts + top_k) * sizeof(Real)))),
        soft(dp + experts),
        weights(soft + experts) {}
  Real *dp, *soft, *weights;
};

// Adds the gradient of renormalised weights: they are a softmax over the chosen log-scores, whose
// slope by the logit is 1 for softmax gates and 1 - p for sigmoids.
void renormalized_backward(Gate gate, const Real* probabilities, const int32_t* experts,
                           const Real* weights, const Real* dweights, int64_t k, Real* dlogits) {
  Real inner = 0;
  for (int64_t i = 0; i < k; ++i) inner += weights[i] * dweights[i];
  for (int64_t i = 0; i < k; ++i) {
    const int32_t e = expert_of(experts[i]);
    const Real slope = gate == Gate::sigmoid_bias ? Real{1} - probabilities[e] : Real{1};
    dlogits[e] += weights[i] * slope * (dweights[i] - inner);
  }
}

// dlogits (written) from the gradient on the probabilities.
void score_backward(Gate gate, const Real* p, const Real* dp, int64_t n, Real* dlogits) {
  if (gate == Gate::sigmoid_bias) {
    for (int64_t e = 0; e < n; ++e) dlogits[e] = dp[e] * p[e] * (Real{1} - p[e]);
    return;
  }
  const Real inner = HECATE_ISA_CALL(dot, n, dp, p);
  for (int64_t e = 0; e < n; ++e) dlogits[e] = p[e] * (dp[e] - inner);
}

}  // namespace

void route_backward(Stream& s, Gate gate, View<const Real> logits, View<const Real> probabilities,
                    View<const int32_t> experts, View<const Real> dweights,
                    View<const Real> dprobabilities, Real z_scale, View<Real> dlogits) {
  check("route_backward", logits, probabilities.shape(), experts.shape(), dweights.shape());
  const int64_t n = logits.dim(1), top_k = experts.dim(1);
  const bool per_token = dprobabilities.shape().rank() == 2;
  HECATE_CHECK(dlogits.shape() == logits.shape() &&
                   (dprobabilities.data() == nullptr || dprobabilities.shape() == logits.shape() ||
                    dprobabilities.shape() == Shape{n}),
               "route_backward: dlogits ", dlogits.shape(), ", dprobabilities ",
               dprobabilities.shape(), " for logits ", logits.shape());
  if (s.device() == DeviceKind::cuda)
    return cuda::route_backward(s, gate, logits, probabilities, experts, dweights, dprobabilities,
                                z_scale, dlogits);
  check_experts("route_backward", experts, n);
  ThreadPool& pool = cpu_stream(s, "route_backward").pool();
  pool.parallel_ranges(logits.rows(), kGrain, [&](int64_t begin, int64_t end, int worker) {
    const GateScratch scratch(pool, worker, n, top_k);
    for (int64_t t = begin; t < end; ++t) {
      const Real* p = probabilities.row(t);
      if (dprobabilities.data() == nullptr)
        std::fill_n(scratch.dp, n, Real{0});
      else
        std::copy_n(per_token ? dprobabilities.row(t) : dprobabilities.data(), n, scratch.dp);
      if (!renormalizes(gate))
        for (int64_t k = 0; k < top_k; ++k)
          scratch.dp[expert_of(experts.row(t)[k])] += dweights.row(t)[k];
      score_backward(gate, p, scratch.dp, n, dlogits.row(t));
      if (renormalizes(gate)) {
        weigh(gate, logits.row(t), p, experts.row(t), top_k, scratch.weights);
        renormalized_backward(gate, p, experts.row(t), scratch.weights, dweights.row(t), top_k,
                              dlogits.row(t));
      }
      if (z_scale == Real{0}) continue;
      const Real lse = softmax(logits.row(t), n, scratch.soft);
      HECATE_ISA_CALL(add, n, 2 * z_scale * lse, scratch.soft, dlogits.row(t));
    }
  });
}

double router_statistics(Stream& s, View<const Real> logits, View<const Real> probabilities,
                         View<Real> sums) {
  HECATE_CHECK(probabilities.shape() == logits.shape() && sums.size() == logits.dim(1),
               "router_statistics: logits ", logits.shape(), ", probabilities ",
               probabilities.shape(), ", sums ", sums.shape());
  if (s.device() == DeviceKind::cuda)
    return cuda::router_statistics(s, logits, probabilities, sums);
  CpuStream& stream = cpu_stream(s, "router_statistics");
  const int64_t n = logits.dim(1), blocks = (logits.rows() + kBlock - 1) / kBlock;
  // Per block of tokens: column sums, then the squares.
  auto* partial = reinterpret_cast<double*>(
      stream.workspace(static_cast<size_t>((blocks + 1) * (n + 1)) * sizeof(double)));
  stream.pool().parallel_for(blocks, [&](int64_t block, int) {
    double* sum = partial + block * (n + 1);
    std::fill_n(sum, n + 1, 0.0);
    const int64_t end = std::min(logits.rows(), (block + 1) * kBlock);
    for (int64_t t = block * kBlock; t < end; ++t) {
      const Real* p = probabilities.row(t);
      for (int64_t e = 0; e < n; ++e) sum[e] += static_cast<double>(p[e]);
      const double lse = log_sum_exp(logits.row(t), n);
      sum[n] += lse * lse;
    }
  });
  double* total = partial + blocks * (n + 1);
  std::fill_n(total, n + 1, 0.0);
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t e = 0; e <= n; ++e) total[e] += partial[block * (n + 1) + e];
  std::transform(total, total + n, sums.data(), [](double v) { return static_cast<Real>(v); });
  return total[n];
}

void router_jitter(Stream& s, Real amount, uint64_t seed, uint64_t stream, int64_t first_row,
                   View<Real> logits) {
  if (s.device() == DeviceKind::cuda)
    return cuda::router_jitter(s, amount, seed, stream, first_row, logits);
  const CounterRng rng(seed, stream ^ stream_of("router.jitter"));
  const int64_t n = logits.dim(1);
  for_tokens(s, "router_jitter", logits.rows(), [&](int64_t t) {
    for (int64_t e = 0; e < n; ++e) {
      const double u = rng.uniform(static_cast<uint64_t>((first_row + t) * n + e));
      logits.row(t)[e] *= Real{1} + amount * static_cast<Real>(2 * u - 1);
    }
  });
}

void count_experts(Stream& s, View<const int32_t> experts, std::span<int64_t> counts) {
  if (s.device() == DeviceKind::cuda) return cuda::count_experts(s, experts, counts);
  cpu_stream(s, "count_experts");
  check_experts("count_experts", experts, static_cast<int64_t>(counts.size()));
  std::ranges::fill(counts, 0);
  for (int64_t t = 0; t < experts.rows(); ++t)
    for (int64_t k = 0; k < experts.dim(1); ++k) {
      const int32_t expert = experts.row(t)[k];
      if (expert >= 0) ++counts[static_cast<size_t>(expert)];
    }
}

int64_t drop_over_capacity(Stream& s, int64_t capacity, std::span<int64_t> taken,
                           View<int32_t> experts) {
  if (s.device() == DeviceKind::cuda) return cuda::drop_over_capacity(s, capacity, taken, experts);
  cpu_stream(s, "drop_over_capacity");
  check_experts("drop_over_capacity", experts, static_cast<int64_t>(taken.size()));
  int64_t dropped = 0;
  for (int64_t t = 0; t < experts.rows(); ++t)
    for (int64_t k = 0; k < experts.dim(1); ++k) {
      int32_t& expert = experts.row(t)[k];
      if (expert < 0) continue;
      if (taken[static_cast<size_t>(expert)] < capacity) {
        ++taken[static_cast<size_t>(expert)];
        continue;
      }
      expert = -1 - expert;
      ++dropped;
    }
  return dropped;
}

}  // namespace hecate::kernels
