#pragma once
#include <vector>

#include "collectives/communicator.h"
#include "collectives/topology.h"
#include "collectives/world.h"

namespace hecate::sharding::exec {

/// A rank's handles on its FSSDP domain and beyond it, one per purpose. Collectives of a lane start
/// in one order on all ranks, whichever of the lane's groups they belong to.
struct DomainLanes {
  collectives::Communicator dispatch;  ///< the domain: tokens
  collectives::Communicator sparse;    ///< the domain: experts' parameters and gradients
  collectives::Communicator counts;    ///< all ranks, on lane dispatch
  collectives::Communicator dense;     ///< all ranks
  collectives::Communicator replicas;  ///< this place in all domains, by domain, on lane dense
  collectives::Topology topology;      ///< of the domain
  /// Of the first domain: what plans go by that must be the same in all, should domains lie across
  /// nodes in different ways.
  collectives::Topology plan_topology;
  std::vector<int> members;  ///< rank in `counts` of each place of the domain

  /// Place in the domain, and places.
  int rank() const { return dispatch.rank(); }
  int size() const { return dispatch.size(); }
  int domains() const { return replicas.size(); }
};

/// @param topology of all ranks. Ranks are those of one data-parallel group.
DomainLanes domain_lanes(const collectives::World& world, const collectives::Topology& topology);

}  // namespace hecate::sharding::exec
