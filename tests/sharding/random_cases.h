#pragma once
#include <algorithm>
#include <vector>

#include "runtime/base/rng.h"

namespace hecate::sharding {

/// A cluster and loads drawn from a seed: one to ten devices on up to four nodes of uneven size,
/// and loads that are even, zero, skewed or with ties.
struct RandomCase {
  RandomCase(const char* purpose, uint64_t seed) : rng_(seed, stream_of(purpose)) {
    const int devices = 1 + below(10), nodes = 1 + below(std::min(devices, 4));
    for (int d = 0; d < devices; ++d) node_of.push_back(d < nodes ? d : below(nodes));
    if (below(2) == 0) std::sort(node_of.begin(), node_of.end());
    experts = 1 + below(20);
    layers = 1 + below(6);
    for (int l = 0; l < layers; ++l) loads.push_back(draw_loads());
    t = below(experts + 4);
    m = below(6);
  }

  int devices() const { return static_cast<int>(node_of.size()); }
  /// Uniform in 0 .. bound - 1.
  int below(int bound) {
    return static_cast<int>(rng_.below(draws_++, static_cast<uint64_t>(bound)));
  }
  std::vector<double> draw_loads() {
    const int kind = below(4);
    std::vector<double> result(static_cast<size_t>(experts));
    for (double& load : result) {
      const double uniform = rng_.uniform(draws_++);
      if (kind == 0) load = 7;
      if (kind == 1) load = below(3);
      if (kind == 2) load = std::floor(1e5 * uniform * uniform * uniform * uniform);
      if (kind == 3) load = below(4) == 0 ? below(1000) : 0;
    }
    return result;
  }
  /// [devices, experts] of tokens, some sources and experts without any.
  std::vector<int64_t> draw_counts() {
    std::vector<int64_t> counts;
    for (int s = 0; s < devices(); ++s) {
      const bool silent = below(6) == 0;
      for (int e = 0; e < experts; ++e)
        counts.push_back(silent || below(4) == 0 ? 0 : below(below(3) == 0 ? 5000 : 20));
    }
    return counts;
  }

  std::vector<int> node_of;
  int experts = 0, layers = 0, t = 0, m = 0;
  std::vector<std::vector<double>> loads;  ///< [layers, experts]

 private:
  CounterRng rng_;
  uint64_t draws_ = 0;
};

}  // namespace hecate::sharding
