#pragma once
#include <cstdint>
#include <span>

#include "collectives/placement.h"
#include "sharding/cost.h"
#include "sharding/dispatch.h"
#include "sharding/strategy.h"

namespace hecate::launcher {

/// One micro-batch of one MoE layer in one domain. Devices are places of the domain.
struct LayerUse {
  std::span<const int64_t> kept;  ///< [devices, experts]: tokens that were not dropped
  std::span<const int> owner;     ///< per expert
  int devices = 1;
  const collectives::Placement* placement = nullptr;  ///< P', owners included
  const sharding::DispatchPlan* plan = nullptr;
  const sharding::LayerCost* cost = nullptr;  ///< null: not known
  /// That made the plan; one that plans by a model also gives exposed collectives and its bound.
  const sharding::Strategy* strategy = nullptr;
};

/// How a MoE layer's experts were placed in a step, and what that was worth. Rows are tokens'
/// choices that were computed in the domain, summed over micro-batches.
struct LayerReport {
  int64_t rows = 0;
  int64_t busiest_owner_rows = 0;  ///< of the device with most, had every expert been at its owner
                                   ///< alone; summed over micro-batches
  int64_t busiest_rank_rows = 0;   ///< the same as it was placed
  int64_t replicas = 0;            ///< copies besides the owners', in the last micro-batch
  /// Share of the tokens that the forecast before the step had at other experts, 0 to 1.
  double forecast_error = 0;
  /// Exchanges and experts as planned (planner = balanced: and exposed collectives); 0: no cost is
  /// known.
  double modelled_seconds = 0;
  /// Experts alone, were all devices equally loaded; with planner = balanced the proven lower bound
  /// of all plans.
  double bound_seconds = 0;

  void add(const LayerUse& use);
  /// Busiest device over the mean of `devices`; 0 without rows.
  double imbalance_at_owners(int devices) const;
  double imbalance(int devices) const;
};

/// Half the sum over experts of |share of the forecast - share of the counts|: 0 for a forecast
/// that was right up to scale, 1 where all tokens went elsewhere; 0 where either is empty.
/// @param forecast [experts]. @param counts [sources, experts].
double forecast_error(std::span<const double> forecast, std::span<const int64_t> counts);

}  // namespace hecate::launcher
