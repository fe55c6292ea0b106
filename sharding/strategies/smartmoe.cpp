#include "sharding/strategies/smartmoe.h"

#include <algorithm>

#include "sharding/policies/smartmoe.h"

namespace hecate::sharding {
namespace {

constexpr size_t kSteps = 2;  // whose loads are averaged

}  // namespace

std::vector<collectives::Placement> SmartMoe::plan_step(const Ownership& owners,
                                                        const LoadTracker&) {
  std::vector<collectives::Placement> plan;
  for (int l = 0; l < owners.layers(); ++l) plan.push_back(owners.placement(l));
  return plan;
}

bool SmartMoe::moves_owners(int64_t step) const {
  return rearranges(step);
}

std::optional<Ownership> SmartMoe::next_owners(int64_t step, const Ownership& owners,
                                               const LoadTracker& loads) {
  if (!moves_owners(step) || loads.recorded() == 0) return std::nullopt;
  std::vector<int> next;
  for (int l = 0; l < owners.layers(); ++l) {
    std::vector<int> slots(static_cast<size_t>(owners.devices()));
    for (int owner : owners.layer(l)) ++slots[static_cast<size_t>(owner)];
    const SmartMoePlan plan =
        exchange_experts(owners.layer(l), loads.sum_of_last(l, kSteps), slots);
    next.insert(next.end(), plan.owners.begin(), plan.owners.end());
  }
  if (std::ranges::equal(next, owners.all())) return std::nullopt;
  return Ownership(owners.layers(), owners.experts(), owners.devices(), std::move(next));
}

}  // namespace hecate::sharding
