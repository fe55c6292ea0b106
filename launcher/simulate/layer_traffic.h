#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "collectives/placement.h"
#include "collectives/sparse_schedule.h"
#include "sharding/ownership.h"
#include "sharding/sim/traffic.h"
#include "sharding/strategy.h"

/// One MoE layer of a simulated step: what its plan computes and moves.
namespace hecate::launcher {

struct LayerShape {
  double row_bytes = 0;                            ///< of a token on its way
  double elements = 0;                             ///< of an expert
  double parameter_bytes = 0, gradient_bytes = 0;  ///< of one element on its way
  collectives::Topology topology = {};             ///< of the simulated devices
  collectives::SparseAlgorithm algorithm = collectives::SparseAlgorithm::automatic;
  int64_t segment_bytes = 64 << 10;
};

/// How a strategy keeps experts from step to step, and splits their tokens.
struct ExpertsKept {
  std::vector<int> groups;  ///< as Strategy::dispatch_groups
  sharding::DispatchPolicy policy = sharding::DispatchPolicy::nearest;
  bool replicas = false;  ///< Strategy::keeps_replicas: copies are there and get summed gradients
  bool slices = false;    ///< Strategy::slices_experts
};

struct LayerTraffic {
  std::vector<double> token_rows, expert_rows;  ///< per device
  std::vector<double> experts;                  ///< per device: that have rows
  sharding::sim::Traffic tokens, tokens_back, gather, gather_again, reduce, extend;
};

/// Plans one layer after another as the runtime would; schedules of placements that do not change
/// are kept.
class LayerPlanner {
 public:
  LayerPlanner(const LayerShape& shape, const sharding::sim::Resources& resources, int layers);

  /// @param planned before the gate; @param widened after it.
  /// @param counts [devices, experts]. @param copies of plan_dispatch.
  LayerTraffic plan(int layer, const sharding::Ownership& owners,
                    const collectives::Placement& planned, const collectives::Placement& widened,
                    std::span<const int64_t> counts, const ExpertsKept& how,
                    std::span<const int> copies);

 private:
  struct Kept {
    std::vector<int> owners;
    std::optional<collectives::Placement> placement;
    sharding::sim::Traffic gather, reduce;
  };

  sharding::sim::Traffic sparse(std::span<const int> owners,
                                const collectives::Placement& placement, bool reduce,
                                double element_bytes) const;
  const Kept& kept(int layer, std::span<const int> owners, const collectives::Placement& placement,
                   const ExpertsKept& how);
  void add_tokens(const sharding::DispatchPlan& plan, LayerTraffic& traffic) const;

  LayerShape shape_;
  const sharding::sim::Resources& resources_;
  std::vector<Kept> kept_;  // per layer
};

}  // namespace hecate::launcher
