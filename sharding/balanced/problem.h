#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "collectives/placement.h"
#include "sharding/cost.h"
#include "sharding/node_map.h"

namespace hecate::sharding::balanced {

enum class Objective : uint8_t {
  time,     ///< the layer's modelled time
  balance,  ///< the busiest device's rows, whatever it takes
};
/// @throws InvalidArgument naming the known ones.
Objective objective(const std::string& name);

/// What one layer's plan is weighed by. Equal on all ranks.
struct Model {
  LayerCost cost;
  /// Of the gather before the layer's experts, and of the reduction after their backward: what
  /// other work hides.
  double hidden_gather_seconds = 0;
  double hidden_reduce_seconds = 0;
  Objective objective = Objective::time;
};

/// A model in which the collectives of `t` experts' parameters and gradients, one after the other
/// over a node's link (or, on one node, a device's port), hide.
Model model_hiding(LayerCost cost, int t, Objective objective = Objective::time);

/// Seconds of one layer, forward and backward.
struct LayerTime {
  double compute = 0;   ///< of the busiest device
  double exchange = 0;  ///< of all exchanges
  double gather = 0;    ///< exposed
  double reduce = 0;    ///< exposed
  double total() const { return compute + exchange + gather + reduce; }
};

/// One layer to plan.
struct Problem {
  const Model* model = nullptr;
  const NodeMap* nodes = nullptr;
  std::span<const int> owner;          ///< per expert
  std::span<const int64_t> node_rows;  ///< [nodes, experts]: what a node's devices send an expert
  /// [devices, experts] of the same rows, or empty; only bounds look at it.
  std::span<const int64_t> counts = {};
  int slots = 0;  ///< copies that a device has room for beside what it owns

  int experts() const { return static_cast<int>(owner.size()); }
  int64_t rows(int node, int expert) const {
    return node_rows[static_cast<size_t>(node) * owner.size() + static_cast<size_t>(expert)];
  }
};

/// [nodes, experts] of [devices, experts].
std::vector<int64_t> rows_by_node(std::span<const int64_t> counts, int experts,
                                  const NodeMap& nodes);

}  // namespace hecate::sharding::balanced
