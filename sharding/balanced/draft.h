#pragma once
#include <cstdint>
#include <vector>

#include "sharding/balanced/problem.h"

namespace hecate::sharding::balanced {

/// Exposed seconds of bringing `link` chunks into the busiest node and `port` chunks over the
/// busiest device's port inside its node, beyond what is hidden. The time itself is that of
/// gather_seconds (cost.h).
double exposed_seconds(const collectives::Topology& topology, int link, int port, double bytes,
                       double hidden);

/// A placement in the making: what is free, and what its collectives take.
class Draft {
 public:
  /// The owners alone.
  explicit Draft(const Problem& problem);
  /// Continues from `placement`, a superset of the owners.
  Draft(const Problem& problem, const collectives::Placement& placement);

  const collectives::Placement& placement() const { return placement_; }
  int free(int device) const { return free_[static_cast<size_t>(device)]; }
  /// Holders of the expert on the node.
  int on_node(int node, int expert) const { return on_node_[index(node, expert)]; }
  /// Experts that a node holds without owning them.
  int link_chunks(int node) const { return link_[static_cast<size_t>(node)]; }

  void add(int expert, int device);
  void remove(int expert, int device);
  /// The exposed gather and reduction of what is here beyond the owners.
  LayerTime collectives_time() const;

 private:
  size_t index(int node, int expert) const {
    return static_cast<size_t>(node) * problem_->owner.size() + static_cast<size_t>(expert);
  }

  const Problem* problem_;
  collectives::Placement placement_;
  std::vector<int> free_, link_, port_;
  std::vector<int> on_node_;  // [nodes, experts]
};

}  // namespace hecate::sharding::balanced
