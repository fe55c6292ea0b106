#include "sharding/policies/smartmoe.h"

#include <algorithm>
#include <numeric>

#include "runtime/base/error.h"
#include "sharding/load_order.h"

namespace hecate::sharding {
namespace {

double highest_load(std::span<const int> owners, std::span<const double> loads, int devices) {
  std::vector<double> load_of(static_cast<size_t>(devices));
  for (size_t e = 0; e < owners.size(); ++e) load_of[static_cast<size_t>(owners[e])] += loads[e];
  return *std::max_element(load_of.begin(), load_of.end());
}

}  // namespace

SmartMoePlan exchange_experts(std::span<const int> owners, std::span<const double> loads,
                              int devices, int slots) {
  HECATE_CHECK(devices > 0 && slots > 0, "smartmoe: ", slots, " slots on each of ", devices,
               " devices");
  return exchange_experts(owners, loads, std::vector<int>(static_cast<size_t>(devices), slots));
}

SmartMoePlan exchange_experts(std::span<const int> owners, std::span<const double> loads,
                              std::span<const int> slots) {
  const auto experts = static_cast<int>(owners.size()), devices = static_cast<int>(slots.size());
  const int room = std::accumulate(slots.begin(), slots.end(), 0);
  HECATE_CHECK(experts <= room, "smartmoe: ", experts, " experts in ", room, " slots of ", devices,
               " devices");
  check_loads(loads, experts, "smartmoe");
  for (int owner : owners)
    HECATE_CHECK(owner >= 0 && owner < devices, "smartmoe: owner ", owner, " of ", devices,
                 " devices");
  std::vector<double> load_of(slots.size());
  std::vector<int> free(slots.begin(), slots.end()), planned(owners.size());
  for (int e : most_loaded(loads, experts)) {
    const auto at = static_cast<size_t>(e);
    size_t best = free.size();
    for (size_t d = 0; d < free.size(); ++d) {
      if (free[d] == 0) continue;
      const bool stays = static_cast<int>(d) == owners[at];
      if (best == free.size() || load_of[d] < load_of[best] ||
          (stays && load_of[d] == load_of[best]))
        best = d;
    }
    planned[at] = static_cast<int>(best);
    load_of[best] += loads[at];
    --free[best];
  }
  if (highest_load(planned, loads, devices) < highest_load(owners, loads, devices))
    return {.owners = std::move(planned), .adopted = true};
  return {.owners = {owners.begin(), owners.end()}, .adopted = false};
}

}  // namespace hecate::sharding
