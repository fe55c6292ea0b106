#pragma once
#include <vector>

#include "collectives/placement.h"
#include "collectives/topology.h"
#include "runtime/base/rng.h"

namespace hecate::collectives {

/// A placement problem drawn from a seed: every kind of spread, also empty chunks.
struct SparseCase {
  Topology topology;
  std::vector<int> owners;
  Placement materialized{0, 1};
  std::vector<int64_t> elements;  ///< per chunk
};

/// @param max_elements of a chunk. Owners and holders are random; experts are, by turns,
///   everywhere, only on their owner, on one node, on random devices.
inline SparseCase random_sparse_case(uint64_t seed, int ranks, int ranks_per_node, int experts,
                                     int64_t max_elements) {
  const CounterRng rng(seed, stream_of("sparse case"));
  uint64_t draws = 0;
  const auto below = [&](int64_t bound) {
    return static_cast<int>(rng.below(draws++, static_cast<uint64_t>(bound)));
  };
  SparseCase result;
  result.topology = Topology::uniform(ranks, ranks_per_node, {8e9, 1e-6}, {125e6, 5e-5});
  result.materialized = Placement(experts, ranks);
  const bool one_owner = below(4) == 0;
  const int hot = below(ranks);
  for (int e = 0; e < experts; ++e) {
    const int owner = one_owner ? hot : below(ranks);
    result.owners.push_back(owner);
    result.materialized.add(e, owner);
    const int kind = below(5);
    if (kind == 0) result.materialized.add_everywhere(e);
    const int node = result.topology.node_of[static_cast<size_t>(below(ranks))];
    for (int r = 0; r < ranks; ++r) {
      const bool in_node = kind == 1 && result.topology.node_of[static_cast<size_t>(r)] == node;
      if (in_node || (kind >= 3 && below(3) == 0)) result.materialized.add(e, r);
    }
    result.elements.push_back(below(6) == 0 ? 0 : below(max_elements + 1));
  }
  return result;
}

}  // namespace hecate::collectives
