#pragma once
#include <span>
#include <vector>

namespace hecate::sharding {

/// A cluster in EPLB's terms.
struct EplbShape {
  int replicas = 0;  ///< expert copies of a layer in all; a multiple of the devices
  int groups = 1;    ///< of neighbouring experts that should stay on one node
  int nodes = 1;
  int devices = 1;  ///< a multiple of the nodes
};

struct EplbLayer {
  std::vector<int> expert_of;  ///< per copy; copies of one device are adjacent, devices rising
  std::vector<int> copies;     ///< per expert
};

/// Hierarchical replication, the published EPLB (github.com/deepseek-ai/EPLB; its policy, not its
/// code). Where the groups do not divide by the nodes, one group and one node are assumed.
/// 1. Groups by falling load, each to the lightest node with room.
/// 2. In a node: one copy of each expert, then one more for the expert with the highest load per
///    copy, until the node's slots are full.
/// 3. Copies by falling load per copy, each to the lightest device of the node with room.
/// Equal loads: lower index first.
/// @param loads per expert of one layer. @throws InvalidArgument for counts that do not divide, or
///   fewer replicas than experts.
EplbLayer eplb(std::span<const double> loads, EplbShape shape);

}  // namespace hecate::sharding
