#pragma once
#include <cstdint>
#include <vector>

#include "collectives/placement.h"
#include "sharding/dispatch.h"

namespace hecate::sharding {

/// Moves rows between an expert's holders until no device has more rows in all than the replicas
/// make necessary. Devices at or below that level never end with fewer rows than before. Internal
/// to plan_dispatch.
/// 1. Devices above a lower bound of the level give rows to the experts' holders below it, one
///    expert after the other, twice over all experts.
/// 2. The highest device passes rows on over other experts and devices (shortest chain first) until
///    it has the mean of the devices that its rows can reach: then nobody can do better. At most
///    kChainsPerDevice * R chains.
/// @param start where rows lie at first; every expert's sum is kept.
HolderRows level_rows(HolderRows start, const collectives::Placement& materialized);

inline constexpr int kChainsPerDevice = 8;

}  // namespace hecate::sharding
