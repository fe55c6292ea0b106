#pragma once
#include <vector>

#include "sharding/balanced/planner.h"
#include "tests/sharding/random_cases.h"

namespace hecate::sharding::balanced {

/// A random cluster, costs, owners and counts.
struct DrawnProblem {
  explicit DrawnProblem(uint64_t seed, Objective objective = Objective::time)
      : drawn("balanced", seed), nodes(gapless(drawn.node_of)) {
    const auto draw = [&](double least) { return least * (1 << drawn.below(12)); };
    LayerCost cost;
    cost.topology.node_of.assign(nodes.node_of().begin(), nodes.node_of().end());
    cost.topology.inside = {draw(1e8), draw(1e-7)};
    cost.topology.between = {draw(1e7), draw(1e-6)};
    cost.seconds_per_row = draw(1e-8);
    cost.row_bytes = draw(16);
    cost.gather_bytes = draw(1e3);
    cost.reduce_bytes = draw(1e3);
    model = model_hiding(cost, drawn.below(4), objective);
    for (int e = 0; e < drawn.experts; ++e) owner.push_back(drawn.below(drawn.devices()));
    set_counts(drawn.draw_counts());
  }

  void set_counts(std::vector<int64_t> all) {
    counts = std::move(all);
    rows = rows_by_node(counts, drawn.experts, nodes);
  }
  Problem problem() const {
    return {.model = &model,
            .nodes = &nodes,
            .owner = owner,
            .node_rows = rows,
            .counts = counts,
            .slots = drawn.m};
  }
  /// Up to m copies per device.
  collectives::Placement draw_placement() {
    auto placement = collectives::Placement::from_owners(owner, drawn.devices());
    for (int d = 0; d < drawn.devices(); ++d)
      for (int k = drawn.below(drawn.m + 1); k > 0; --k)
        placement.add(drawn.below(drawn.experts), d);
    return placement;
  }

  RandomCase drawn;
  NodeMap nodes;
  Model model;
  std::vector<int> owner;
  std::vector<int64_t> counts, rows;

 private:
  static std::vector<int> gapless(std::vector<int> node_of) {
    std::vector<int> number(node_of.size(), -1);
    int next = 0;
    for (int& node : node_of) {
      int& n = number[static_cast<size_t>(node)];
      if (n < 0) n = next++;
      node = n;
    }
    return node_of;
  }
};

}  // namespace hecate::sharding::balanced
