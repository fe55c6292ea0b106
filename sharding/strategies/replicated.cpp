#include "sharding/strategies/replicated.h"

#include <algorithm>
#include <utility>

#include "runtime/base/error.h"
#include "sharding/node_map.h"
#include "sharding/policies/eplb.h"
#include "sharding/policies/flexmoe.h"

namespace hecate::sharding {

using collectives::Placement;

Replicated::Replicated(StrategyInputs inputs) : Strategy(std::move(inputs)) {
  const int devices = this->inputs().devices();
  slots_ = (this->inputs().experts + devices - 1) / devices + this->inputs().rearrange.slots;
  const Ownership owners = Strategy::initial_owners();
  for (int l = 0; l < owners.layers(); ++l)
    layers_.push_back(ExpertCopies::of_owners(owners.layer(l), devices, slots_));
}

std::vector<Placement> Replicated::plan_step(const Ownership&, const LoadTracker&) {
  return residents();
}

std::vector<Placement> Replicated::residents() const {
  std::vector<Placement> placements;
  for (const ExpertCopies& layer : layers_) placements.push_back(layer.placement());
  return placements;
}

std::vector<std::vector<int>> Replicated::copies() const {
  std::vector<std::vector<int>> counts;
  for (const ExpertCopies& layer : layers_)
    counts.emplace_back(layer.counts().begin(), layer.counts().end());
  return counts;
}

int64_t Replicated::resident_slots() const {
  return int64_t{inputs().layers} * std::min(slots_, inputs().experts);
}

bool Replicated::moves_owners(int64_t step) const {
  return rearranges(step);
}

std::optional<Ownership> Replicated::next_owners(int64_t step, const Ownership& owners,
                                                 const LoadTracker& loads) {
  if (!moves_owners(step) || loads.recorded() == 0) return std::nullopt;
  std::vector<ExpertCopies> next;
  for (int l = 0; l < owners.layers(); ++l)
    next.push_back(rearranged(l, layers_[static_cast<size_t>(l)], loads));
  if (next == layers_) return std::nullopt;
  layers_ = std::move(next);
  std::vector<int> owner(owners.all().begin(), owners.all().end());
  std::vector<int> owned(static_cast<size_t>(owners.devices()));
  const auto has = [&](size_t i) {
    const auto experts = static_cast<size_t>(owners.experts());
    return layers_[i / experts].count(static_cast<int>(i % experts), owner[i]) > 0;
  };
  for (size_t i = 0; i < owner.size(); ++i)
    if (has(i)) ++owned[static_cast<size_t>(owner[i])];
  for (size_t i = 0; i < owner.size(); ++i) {
    if (has(i)) continue;
    const auto experts = static_cast<size_t>(owners.experts());
    const Placement placement = layers_[i / experts].placement();
    owner[i] =
        *std::ranges::min_element(placement.holders(static_cast<int>(i % experts)), {},
                                  [&](int device) { return owned[static_cast<size_t>(device)]; });
    ++owned[static_cast<size_t>(owner[i])];
  }
  return Ownership::uneven(owners.layers(), owners.experts(), owners.devices(), std::move(owner));
}

std::vector<int64_t> Replicated::state() const {
  std::vector<int64_t> state;
  for (const ExpertCopies& layer : layers_)
    state.insert(state.end(), layer.counts().begin(), layer.counts().end());
  return state;
}

void Replicated::restore(std::span<const int64_t> state) {
  const int experts = inputs().experts, devices = inputs().devices();
  const size_t size = layers_.front().counts().size();
  HECATE_CHECK(state.size() == size * layers_.size(), "strategy ", name(), ": a state of ",
               state.size(), " numbers, expected ", size * layers_.size());
  std::vector<ExpertCopies> layers;
  for (size_t l = 0; l < layers_.size(); ++l) {
    ExpertCopies& layer = layers.emplace_back(experts, devices);
    for (size_t i = 0; i < size; ++i) {
      const int64_t count = state[l * size + i];
      HECATE_CHECK(count >= 0 && count <= slots_, "strategy ", name(), ": state of ", count,
                   " slots, expected 0 to ", slots_);
      layer.add(static_cast<int>(i) / devices, static_cast<int>(i) % devices,
                static_cast<int>(count));
    }
    for (int d = 0; d < devices; ++d)
      HECATE_CHECK(layer.used(d) <= slots_, "strategy ", name(), ": state with ", layer.used(d),
                   " slots used on a device that has ", slots_);
    layer.placement();  // every expert is somewhere
  }
  layers_ = std::move(layers);
}

FlexMoe::FlexMoe(StrategyInputs inputs) : Replicated(std::move(inputs)) {
  check_cost();
}

ExpertCopies FlexMoe::rearranged(int layer, const ExpertCopies& present, const LoadTracker& loads) {
  return flexmoe(present, loads.forecast_by_source(layer), *inputs().cost,
                 {.threshold = inputs().rearrange.threshold});
}

Eplb::Eplb(StrategyInputs inputs) : Replicated(std::move(inputs)) {
  HECATE_CHECK(this->inputs().experts % this->inputs().rearrange.groups == 0,
               "strategy eplb: rearrange.groups = ", this->inputs().rearrange.groups,
               " does not divide ", this->inputs().experts, " experts");
}

ExpertCopies Eplb::rearranged(int layer, const ExpertCopies&, const LoadTracker& loads) {
  const NodeMap nodes(inputs().node_of);
  // The policy knows nodes of one size; elsewhere all devices count as one node.
  bool even = true;
  for (int n = 0; n < nodes.nodes(); ++n)
    even = even && std::ssize(nodes.members(n)) * nodes.nodes() == nodes.devices();
  const EplbLayer plan =
      eplb(loads.forecast(layer), {.replicas = nodes.devices() * slots_per_layer(),
                                   .groups = inputs().rearrange.groups,
                                   .nodes = even ? nodes.nodes() : 1,
                                   .devices = nodes.devices()});
  std::vector<int> device_of;  // the policy's devices, node by node
  for (int n = 0; n < nodes.nodes(); ++n)
    device_of.insert(device_of.end(), nodes.members(n).begin(), nodes.members(n).end());
  ExpertCopies copies(inputs().experts, nodes.devices());
  for (size_t i = 0; i < plan.expert_of.size(); ++i)
    copies.add(plan.expert_of[i], device_of[i / static_cast<size_t>(slots_per_layer())]);
  return copies;
}

}  // namespace hecate::sharding
