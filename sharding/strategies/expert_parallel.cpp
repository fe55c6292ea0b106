#include "sharding/strategies/expert_parallel.h"

#include <algorithm>

namespace hecate::sharding {

using collectives::Placement;

int ep_degree(int devices, int experts) {
  const auto fullest = [&](int degree) { return (experts + degree - 1) / degree; };
  int best = 1;
  for (int degree = 2; degree <= std::min(devices, experts); ++degree)
    if (devices % degree == 0 && fullest(degree) < fullest(best)) best = degree;
  return best;
}

ExpertParallel::ExpertParallel(StrategyInputs inputs) : Strategy(std::move(inputs)) {
  const int devices = this->inputs().devices(), experts = this->inputs().experts;
  degree_ = devices > experts ? ep_degree(devices, experts) : devices;
}

Ownership ExpertParallel::initial_owners() const {
  if (groups() == 1) return Strategy::initial_owners();
  const std::vector<int> one_node(static_cast<size_t>(degree_));
  const Ownership places = even_ownership(inputs().layers, inputs().experts, one_node);
  // Neighbouring places start on different groups, so that nodes own alike in every layer.
  std::vector<int> owned(static_cast<size_t>(degree_)), owner;
  for (int place : places.all()) {
    const int group = (place + owned[static_cast<size_t>(place)]++) % groups();
    owner.push_back(group * degree_ + place);
  }
  return Ownership(inputs().layers, inputs().experts, inputs().devices(), std::move(owner));
}

std::vector<Placement> ExpertParallel::plan_step(const Ownership& owners, const LoadTracker&) {
  std::vector<Placement> plan;
  for (int l = 0; l < owners.layers(); ++l) {
    plan.push_back(owners.placement(l));
    for (int e = 0; groups() > 1 && e < owners.experts(); ++e)
      for (int g = 0; g < groups(); ++g)
        plan.back().add(e, g * degree_ + owners.owner(l, e) % degree_);
  }
  return plan;
}

int ExpertParallel::slots() const {
  return groups() == 1 ? 0 : (inputs().experts + degree_ - 1) / degree_;
}

std::vector<int> ExpertParallel::dispatch_groups() const {
  if (groups() == 1) return inputs().node_of;
  std::vector<int> groups_of;
  for (int d = 0; d < inputs().devices(); ++d) groups_of.push_back(d / degree_);
  return groups_of;
}

}  // namespace hecate::sharding
