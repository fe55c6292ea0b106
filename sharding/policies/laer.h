#pragma once
#include <cstdint>
#include <span>

#include "sharding/cost.h"
#include "sharding/expert_copies.h"

namespace hecate::sharding {

struct LaerLayout {
  ExpertCopies copies;
  double seconds = 0;  ///< modelled
};

/// LAER-MoE's layout of one layer (arXiv:2602.11686): the cheaper one of two candidates, the first
/// of equals.
/// - even: devices * slots / experts replicas each, where that is a whole number;
/// - proportional: one replica each (one per node where nodes * experts fit the slots); then, until
///   none fits, the expert with the highest load per replica gets one more, or one per node once it
///   has as many as there are nodes (an expert for which they do not fit is left at what it has).
/// Replicas are placed by falling load per replica: among devices with a free slot on the nodes
/// with the fewest replicas of the expert, the least loaded; where these have none, the least
/// loaded of all with a free slot. Ties: lower index.
/// Cost: exchanges * (sum over sources of the time their rows take, each over its own link) + the
/// slowest device's compute. Rows are routed as DispatchPolicy::node_even.
/// @param counts [devices, experts] by source. @param slots per device.
/// @throws InvalidArgument when sizes disagree or the slots do not hold every expert once.
LaerLayout laer_layout(std::span<const int64_t> counts, int slots, const LayerCost& cost);

}  // namespace hecate::sharding
