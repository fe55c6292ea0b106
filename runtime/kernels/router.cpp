#include "runtime/kernels/router.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/rng.h"
#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/elementwise.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kGrain = 16;  // tokens

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

Real log_sum_exp(const Real* logits, int64_t n) {
  const Real shift = HECATE_ISA_CALL(maximum, n, logits);
  Real sum = 0;
  for (int64_t e = 0; e < n; ++e) sum += std::exp(logits[e] - shift);
  return shift + std::log(sum);
}

void score(Gate gate, const Real* logits, int64_t n, Real* probabilities) {
  if (gate == Gate::sigmoid_bias)
    HECATE_ISA_CALL(sigmoid, n, logits, probabilities);
  else
    softmax(logits, n, probabilities);
}

// The K largest of score + bias, falling; equal ones lower index first.
void select(const Real* scores, const Real* bias, int64_t n, int64_t k, int32_t* experts) {
  const auto key = [&](int64_t e) { return scores[e] + (bias != nullptr ? bias[e] : Real{0}); };
  for (int64_t choice = 0; choice < k; ++choice) {
    int32_t best = -1;
    for (int32_t e = 0; e < n; ++e) {
      if (std::find(experts, experts + choice, e) != experts + choice) continue;
      if (best < 0 || key(e) > key(best)) best = e;
    }
    experts[choice] = best;
  }
}

void weigh(Gate gate, const Real* probabilities, const int32_t* experts, int64_t k, Real* weights) {
  Real sum = 0;
  for (int64_t i = 0; i < k; ++i) {
    weights[i] = probabilities[expert_of(experts[i])];
    sum += weights[i];
  }
  if (!renormalizes(gate)) return;
  for (int64_t i = 0; i < k; ++i) weights[i] /= sum;
}

void check(const char* name, const View<const Real>& logits, const Shape& probabilities,
           const Shape& experts, const Shape& weights) {
  HECATE_CHECK(probabilities == logits.shape() && experts == weights &&
                   experts[0] == logits.dim(0) && experts[1] >= 1 && experts[1] <= logits.dim(1),
               name, ": logits ", logits.shape(), ", probabilities ", probabilities, ", experts ",
               experts, ", weights ", weights);
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
  for_tokens(s, "route", logits.rows(), [&](int64_t t) {
    score(gate, logits.row(t), logits.dim(1), probabilities.row(t));
    select(probabilities.row(t), bias.data(), logits.dim(1), experts.dim(1), experts.row(t));
    weigh(gate, probabilities.row(t), experts.row(t), experts.dim(1), weights.row(t));
  });
}

void route_given(Stream& s, Gate gate, View<const Real> logits, View<const int32_t> experts,
                 View<Real> probabilities, View<Real> weights) {
  check("route_given", logits, probabilities.shape(), experts.shape(), weights.shape());
  for_tokens(s, "route_given", logits.rows(), [&](int64_t t) {
    score(gate, logits.row(t), logits.dim(1), probabilities.row(t));
    weigh(gate, probabilities.row(t), experts.row(t), experts.dim(1), weights.row(t));
  });
}

namespace {

// Adds the gradient by the chosen probabilities to dp [E].
void weigh_backward(Gate gate, const Real* probabilities, const int32_t* experts,
                    const Real* dweights, int64_t k, Real* dp) {
  if (!renormalizes(gate)) {
    for (int64_t i = 0; i < k; ++i) dp[expert_of(experts[i])] += dweights[i];
    return;
  }
  Real sum = 0, inner = 0;
  for (int64_t i = 0; i < k; ++i) {
    const Real p = probabilities[expert_of(experts[i])];
    sum += p;
    inner += dweights[i] * p;
  }
  inner /= sum;
  for (int64_t i = 0; i < k; ++i) dp[expert_of(experts[i])] += (dweights[i] - inner) / sum;
}

}  // namespace

void route_backward(Stream& s, Gate gate, View<const Real> logits, View<const Real> probabilities,
                    View<const int32_t> experts, View<const Real> dweights,
                    View<const Real> dprobabilities, Real z_scale, View<Real> dlogits) {
  check("route_backward", logits, probabilities.shape(), experts.shape(), dweights.shape());
  HECATE_CHECK(dlogits.shape() == logits.shape(), "route_backward: dlogits ", dlogits.shape());
  const int64_t n = logits.dim(1);
  const bool per_token = dprobabilities.shape().rank() == 2;
  HECATE_CHECK(dprobabilities.data() == nullptr || dprobabilities.shape() == logits.shape() ||
                   dprobabilities.size() == n,
               "route_backward: dprobabilities ", dprobabilities.shape());
  CpuStream& stream = cpu_stream(s, "route_backward");
  stream.pool().parallel_ranges(logits.rows(), kGrain, [&](int64_t begin, int64_t end, int worker) {
    auto* dp = reinterpret_cast<Real*>(
        stream.pool().scratch(worker, 2 * static_cast<size_t>(n) * sizeof(Real)));
    Real* soft = dp + n;
    for (int64_t t = begin; t < end; ++t) {
      const Real* p = probabilities.row(t);
      Real* out = dlogits.row(t);
      if (dprobabilities.data() == nullptr)
        std::fill_n(dp, n, Real{0});
      else
        std::copy_n(per_token ? dprobabilities.row(t) : dprobabilities.data(), n, dp);
      weigh_backward(gate, p, experts.row(t), dweights.row(t), experts.dim(1), dp);
      if (gate == Gate::sigmoid_bias) {
        for (int64_t e = 0; e < n; ++e) out[e] = dp[e] * p[e] * (Real{1} - p[e]);
      } else {
        const Real inner = HECATE_ISA_CALL(dot, n, dp, p);
        for (int64_t e = 0; e < n; ++e) out[e] = p[e] * (dp[e] - inner);
      }
      if (z_scale == Real{0}) continue;
      const Real lse = softmax(logits.row(t), n, soft);
      HECATE_ISA_CALL(add, n, 2 * z_scale * lse, soft, out);
    }
  });
}

double router_statistics(Stream& s, View<const Real> logits, View<const Real> probabilities,
                         View<Real> sums) {
  HECATE_CHECK(probabilities.shape() == logits.shape() && sums.size() == logits.dim(1),
               "router_statistics: logits ", logits.shape(), ", probabilities ",
               probabilities.shape(), ", sums ", sums.shape());
  cpu_stream(s, "router_statistics");
  std::fill_n(sums.data(), sums.size(), Real{0});
  double squares = 0;
  for (int64_t t = 0; t < logits.rows(); ++t) {
    HECATE_ISA_CALL(add, sums.size(), Real{1}, probabilities.row(t), sums.data());
    const auto lse = static_cast<double>(log_sum_exp(logits.row(t), logits.dim(1)));
    squares += lse * lse;
  }
  return squares;
}

void router_jitter(Stream& s, Real amount, uint64_t seed, uint64_t stream, int64_t first_row,
                   View<Real> logits) {
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
  cpu_stream(s, "count_experts");
  std::ranges::fill(counts, 0);
  for (int64_t t = 0; t < experts.rows(); ++t)
    for (int64_t k = 0; k < experts.dim(1); ++k) {
      const int32_t expert = experts.row(t)[k];
      if (expert >= 0) ++counts[static_cast<size_t>(expert)];
    }
}

int64_t drop_over_capacity(Stream& s, int64_t capacity, std::span<int64_t> taken,
                           View<int32_t> experts) {
  cpu_stream(s, "drop_over_capacity");
  int64_t dropped = 0;
  for (int64_t t = 0; t < experts.rows(); ++t)
    for (int64_t k = 0; k < experts.dim(1); ++k) {
      int32_t& expert = experts.row(t)[k];
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
