#include "launcher/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/base/error.h"
#include "runtime/base/rng.h"

namespace hecate::launcher {

int32_t sample_token(const SamplingOptions& options, uint64_t index, std::span<const Real> logits) {
  HECATE_CHECK(
      options.temperature >= 0 && options.top_k >= 0 && options.top_p > 0 && options.top_p <= 1,
      "generate: temperature ", options.temperature, " (at least 0), top-k ", options.top_k,
      " (at least 0), top-p ", options.top_p, " (in (0, 1])");
  HECATE_CHECK(!logits.empty(), "generate: no logits");
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) {
    const Real x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  if (options.temperature == 0) return *std::ranges::min_element(order, likelier);
  std::ranges::sort(order, likelier);
  if (options.top_k > 0) order.resize(std::min(order.size(), static_cast<size_t>(options.top_k)));
  const auto largest = static_cast<double>(logits[static_cast<size_t>(order[0])]);
  std::vector<double> weights;
  double total = 0;
  for (const int32_t token : order) {
    weights.push_back(std::exp((static_cast<double>(logits[static_cast<size_t>(token)]) - largest) /
                               options.temperature));
    total += weights.back();
  }
  size_t kept = 0;
  double mass = 0;
  while (kept < weights.size() && (kept == 0 || mass < options.top_p * total))
    mass += weights[kept++];
  double draw = CounterRng(options.seed, stream_of("generate")).uniform(index) * mass;
  for (size_t i = 0; i + 1 < kept; ++i) {
    draw -= weights[i];
    if (draw < 0) return order[i];
  }
  return order[kept - 1];
}

}  // namespace hecate::launcher
