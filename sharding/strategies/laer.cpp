#include "sharding/strategies/laer.h"

#include <algorithm>

#include "sharding/policies/laer.h"

namespace hecate::sharding {

Laer::Laer(StrategyInputs inputs) : Strategy(std::move(inputs)) {
  check_cost();
}

int Laer::slots_per_layer() const {
  const int devices = inputs().devices();
  return (inputs().experts + devices - 1) / devices + inputs().rearrange.slots;
}

int Laer::slots() const {
  return std::min(slots_per_layer(), inputs().experts);
}

std::vector<collectives::Placement> Laer::plan_step(const Ownership& owners,
                                                    const LoadTracker& loads) {
  const std::vector<int64_t> even(
      static_cast<size_t>(owners.devices()) * static_cast<size_t>(owners.experts()), 1);
  std::vector<collectives::Placement> plan;
  copies_.clear();
  for (int l = 0; l < owners.layers(); ++l) {
    const std::span<const int64_t> counts =
        loads.recorded() > 0 ? loads.history().back().layer(l) : std::span<const int64_t>(even);
    const ExpertCopies copies = laer_layout(counts, slots_per_layer(), *inputs().cost).copies;
    plan.push_back(copies.placement());
    copies_.emplace_back(copies.counts().begin(), copies.counts().end());
  }
  return plan;
}

}  // namespace hecate::sharding
