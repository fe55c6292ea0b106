#include "sharding/strategies/fully_sharded.h"

namespace hecate::sharding {

std::vector<collectives::Placement> FullySharded::plan_step(const Ownership& owners,
                                                            const LoadTracker&) {
  std::vector<collectives::Placement> plan;
  for (int l = 0; l < owners.layers(); ++l) {
    plan.push_back(owners.placement(l));
    for (int e = 0; e < owners.experts(); ++e) plan.back().add_everywhere(e);
  }
  return plan;
}

}  // namespace hecate::sharding
