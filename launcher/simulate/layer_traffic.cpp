#include "launcher/simulate/layer_traffic.h"

#include <algorithm>

namespace hecate::launcher {
namespace {

namespace sim = sharding::sim;
using collectives::Placement;

bool copies_exist(const Placement& placement) {
  for (int e = 0; e < placement.experts(); ++e)
    if (placement.holders(e).size() > 1) return true;
  return false;
}

}  // namespace

LayerPlanner::LayerPlanner(const LayerShape& shape, const sim::Resources& resources, int layers)
    : shape_(shape), resources_(resources), kept_(static_cast<size_t>(layers)) {}

sim::Traffic LayerPlanner::sparse(std::span<const int> owners, const Placement& placement,
                                  bool reduce, double element_bytes) const {
  if (!copies_exist(placement)) {
    sim::Traffic nothing;
    nothing.flows = std::make_shared<sim::FlowSet>(resources_.devices(), std::vector<sim::Flow>());
    return nothing;
  }
  const std::vector<int64_t> bytes(static_cast<size_t>(placement.experts()),
                                   static_cast<int64_t>(shape_.elements * element_bytes));
  const collectives::SparseRequest request{.owners = owners,
                                           .materialized = &placement,
                                           .chunk_bytes = bytes,
                                           .topology = &shape_.topology,
                                           .algorithm = shape_.algorithm,
                                           .segment_bytes = shape_.segment_bytes};
  return sim::sparse_traffic(
      reduce ? collectives::plan_reduce(request) : collectives::plan_gather(request), resources_);
}

const LayerPlanner::Kept& LayerPlanner::kept(int layer, std::span<const int> owners,
                                             const Placement& placement, const ExpertsKept& how) {
  Kept& kept = kept_[static_cast<size_t>(layer)];
  if (kept.placement && *kept.placement == placement && std::ranges::equal(kept.owners, owners))
    return kept;
  kept.owners.assign(owners.begin(), owners.end());
  kept.placement = placement;
  if (how.slices) {
    kept.gather =
        sim::slices_traffic(placement, shape_.elements * shape_.parameter_bytes, false, resources_);
    kept.reduce =
        sim::slices_traffic(placement, shape_.elements * shape_.gradient_bytes, true, resources_);
    return kept;
  }
  kept.gather = sparse(owners, placement, false, shape_.parameter_bytes);
  kept.reduce = sparse(owners, placement, true, shape_.gradient_bytes);
  // Replicas that stay need the sum as their owners do.
  if (how.replicas)
    kept.reduce = sim::joined(kept.reduce, sparse(owners, placement, false, shape_.gradient_bytes));
  return kept;
}

void LayerPlanner::add_tokens(const sharding::DispatchPlan& plan, LayerTraffic& traffic) const {
  const auto devices = static_cast<size_t>(plan.devices());
  traffic.token_rows.assign(devices, 0);
  traffic.expert_rows.assign(devices, 0);
  traffic.experts.assign(devices, 0);
  std::vector<char> has(devices);
  for (int e = 0; e < plan.experts(); ++e) {
    std::fill(has.begin(), has.end(), char{0});
    for (int s = 0; s < plan.devices(); ++s)
      for (const sharding::DispatchPiece& piece : plan.pieces(s, e)) {
        const auto holder = static_cast<size_t>(piece.holder);
        traffic.token_rows[static_cast<size_t>(s)] += static_cast<double>(piece.rows);
        traffic.expert_rows[holder] += static_cast<double>(piece.rows);
        has[holder] = 1;
      }
    for (size_t d = 0; d < devices; ++d) traffic.experts[d] += has[d];
  }
  traffic.tokens.flows = sim::token_flows(plan);
  traffic.tokens.bytes_per_unit = shape_.row_bytes;
  traffic.tokens.latency_s = sim::exchange_latency(resources_, *traffic.tokens.flows);
  traffic.tokens_back = traffic.tokens;
  traffic.tokens_back.reversed = true;
}

LayerTraffic LayerPlanner::plan(int layer, const sharding::Ownership& owners,
                                const Placement& planned, const Placement& widened,
                                std::span<const int64_t> counts, const ExpertsKept& how,
                                std::span<const int> copies) {
  LayerTraffic traffic;
  add_tokens(plan_dispatch(counts, widened, how.groups, how.policy, copies), traffic);
  const std::span<const int> owner = owners.layer(layer);
  const Kept& known = kept(layer, owner, planned, how);
  traffic.gather = known.gather;
  traffic.gather_again = known.gather;
  traffic.reduce = known.reduce;
  Placement added = owners.placement(layer);
  if (widened != planned) {
    for (int e = 0; e < widened.experts(); ++e)
      for (int d : widened.holders(e))
        if (!planned.holds(e, d)) added.add(e, d);
    traffic.gather_again = sparse(owner, widened, false, shape_.parameter_bytes);
    traffic.reduce = sparse(owner, widened, true, shape_.gradient_bytes);
  }
  traffic.extend = sparse(owner, added, false, shape_.parameter_bytes);
  return traffic;
}

}  // namespace hecate::launcher
