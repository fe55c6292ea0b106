#include "sharding/strategies/fastermoe.h"

#include <algorithm>

#include "sharding/policies/fastermoe.h"

namespace hecate::sharding {
namespace {

ShadowSeconds seconds_of(const LayerCost& cost) {
  const auto& topology = cost.topology;
  const double bandwidth = (topology.nodes() > 1 ? topology.between : topology.inside).bytes_per_s;
  return {.token = cost.seconds_per_row + cost.exchanges * cost.row_bytes / bandwidth,
          .model = cost.gather_bytes / bandwidth};
}

}  // namespace

FasterMoe::FasterMoe(StrategyInputs inputs) : Strategy(std::move(inputs)) {
  check_cost();
}

std::vector<collectives::Placement> FasterMoe::plan_step(const Ownership& owners,
                                                         const LoadTracker&) {
  std::vector<collectives::Placement> plan;
  for (int l = 0; l < owners.layers(); ++l) plan.push_back(owners.placement(l));
  return plan;
}

int FasterMoe::slots() const {
  return inputs().devices() > 1 ? std::min(inputs().rearrange.slots, inputs().experts) : 0;
}

std::optional<collectives::Placement> FasterMoe::plan_after_gate(
    int, const Ownership& owners, const collectives::Placement& materialized,
    std::span<const int64_t> counts) {
  const auto experts = static_cast<size_t>(owners.experts());
  std::vector<double> loads(experts);
  for (size_t i = 0; i < counts.size(); ++i) loads[i % experts] += static_cast<double>(counts[i]);
  int copied = 0;
  for (int e = 0; e < materialized.experts(); ++e)
    copied += std::ssize(materialized.holders(e)) > 1 ? 1 : 0;
  collectives::Placement wider = materialized;
  for (int e : shadowed_experts(loads, seconds_of(*inputs().cost), slots())) {
    if (std::ssize(wider.holders(e)) > 1) continue;
    if (copied++ >= slots()) break;
    wider.add_everywhere(e);
  }
  if (wider == materialized) return std::nullopt;
  return wider;
}

}  // namespace hecate::sharding
