#include "sharding/sim/loads.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/base/rng.h"

namespace hecate::sharding::sim {
namespace {

size_t at(int i) {
  return static_cast<size_t>(i);
}

double gaussian(const CounterRng& rng, uint64_t index) {
  const double u = rng.uniform(2 * index) + 0x1.0p-54, v = rng.uniform(2 * index + 1);
  return std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
}

// One standard normal process per expert; popularities of either kind are monotone in it.
std::vector<double> positions(const SyntheticLoads& loads, int layer, int experts, int64_t step) {
  const CounterRng rng(loads.seed, stream_of("sim.loads") + static_cast<uint64_t>(layer));
  const double knots = static_cast<double>(step) * std::max(0.0, loads.drift);
  const double knot = std::floor(knots), angle = (knots - knot) * std::acos(0.0);
  const auto draw = [&](double at_knot, int e) {
    return gaussian(rng, static_cast<uint64_t>(at_knot) * static_cast<uint64_t>(experts) +
                             static_cast<uint64_t>(e));
  };
  std::vector<double> x;
  for (int e = 0; e < experts; ++e)
    x.push_back(std::cos(angle) * draw(knot, e) + std::sin(angle) * draw(knot + 1, e));
  return x;
}

// A gamma variate of shape k at the quantile of a normal value (Wilson-Hilferty): Dirichlet
// popularities are gammas over their sum.
double gamma_at(double normal, double k) {
  if (k < 1) {
    // Small shapes: the power of a uniform dominates.
    const double uniform = 0.5 * std::erfc(-normal / std::sqrt(2.0));
    return std::pow(std::max(uniform, 1e-12), 1 / k) * std::tgamma(k + 1);
  }
  const double c = 1 - 1 / (9 * k) + normal / (3 * std::sqrt(k));
  return k * std::max(1e-6, c * c * c);
}

std::vector<double> popularity(const SyntheticLoads& loads, int layer, int experts, int64_t step) {
  std::vector<double> weights(at(experts), 1.0);
  if (loads.kind != LoadKind::even) {
    const std::vector<double> x = positions(loads, layer, experts, step);
    if (loads.kind == LoadKind::dirichlet) {
      for (int e = 0; e < experts; ++e) weights[at(e)] = gamma_at(x[at(e)], 1 / loads.skew);
    } else {
      std::vector<int> order(at(experts));
      std::iota(order.begin(), order.end(), 0);
      std::ranges::stable_sort(order, [&](int p, int q) { return x[at(p)] > x[at(q)]; });
      for (int r = 0; r < experts; ++r) weights[at(order[at(r)])] = std::pow(r + 1, -loads.skew);
    }
  }
  const CounterRng bursts(loads.seed, stream_of("sim.bursts") + static_cast<uint64_t>(layer));
  const auto draw = static_cast<uint64_t>(step);
  if (bursts.uniform(2 * draw) < loads.burst_chance) {
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    const auto expert = static_cast<size_t>(bursts.uniform(2 * draw + 1) * experts);
    for (double& weight : weights) weight *= (1 - loads.burst_share) / sum;
    weights[std::min(expert, weights.size() - 1)] += loads.burst_share;
  }
  return weights;
}

}  // namespace

std::vector<int64_t> rounded(std::span<const double> weights, int64_t sum, int64_t most) {
  HECATE_CHECK(std::ssize(weights) * most >= sum, "loads: ", sum, " assignments over ",
               weights.size(), " experts of at most ", most);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<int64_t> counts(weights.size());
  std::vector<double> remainders(weights.size());
  int64_t missing = sum;
  for (size_t e = 0; e < counts.size(); ++e) {
    const double exact = static_cast<double>(sum) * weights[e] / total;
    counts[e] = std::min(most, static_cast<int64_t>(exact));
    remainders[e] = exact - static_cast<double>(counts[e]);
    missing -= counts[e];
  }
  std::vector<size_t> order(counts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order,
                           [&](size_t a, size_t b) { return remainders[a] > remainders[b]; });
  // What experts at their limit could not take goes to the others in equal parts.
  while (missing > 0) {
    const int64_t each = std::max<int64_t>(1, missing / std::ssize(order));
    for (const size_t e : order) {
      const int64_t more = std::min({each, missing, most - counts[e]});
      counts[e] += more;
      missing -= more;
    }
  }
  return counts;
}

StepLoads synthetic_loads(const SyntheticLoads& loads, const LoadShape& shape, int64_t assignments,
                          int64_t most, int64_t step) {
  StepLoads result(shape);
  std::vector<double> weights(at(shape.experts));
  for (int l = 0; l < shape.layers; ++l) {
    const std::vector<double> shared = popularity(loads, l, shape.experts, step);
    const CounterRng rng(loads.seed + static_cast<uint64_t>(step),
                         stream_of("sim.noise") + static_cast<uint64_t>(l));
    for (int s = 0; s < shape.sources; ++s) {
      for (size_t e = 0; e < weights.size(); ++e) {
        const double noise = loads.kind == LoadKind::even ? 0 : loads.noise;
        const double normal =
            noise > 0 ? gaussian(rng, static_cast<uint64_t>(s) * weights.size() + e) : 0;
        weights[e] = shared[e] * std::exp(noise * normal);
      }
      const std::vector<int64_t> counts = rounded(weights, assignments, most);
      std::ranges::copy(
          counts, result.layer(l).begin() + static_cast<std::ptrdiff_t>(at(s) * weights.size()));
    }
  }
  return result;
}

}  // namespace hecate::sharding::sim
