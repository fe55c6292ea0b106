#include "sharding/exec/domain_lanes.h"

#include <algorithm>

namespace hecate::sharding::exec {

DomainLanes domain_lanes(const collectives::World& world, const collectives::Topology& topology) {
  const std::vector<int> domain = world.mesh().domain_ranks(world.rank());
  const std::vector<int> all = world.mesh().data_ranks(world.rank());
  std::vector<int> members;
  for (int rank : domain)
    members.push_back(static_cast<int>(std::ranges::find(all, rank) - all.begin()));
  return {
      .dispatch = world.domain(LaneKind::dispatch),
      .sparse = world.domain(LaneKind::sparse),
      .counts = world.data(LaneKind::dispatch),
      .dense = world.data(LaneKind::dense),
      .replicas = world.replica(LaneKind::dense),
      .topology = collectives::topology_of(topology, domain),
      .plan_topology = collectives::topology_of(topology, world.mesh().domain_ranks(all.front())),
      .members = std::move(members)};
}

}  // namespace hecate::sharding::exec
