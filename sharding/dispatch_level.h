#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "collectives/placement.h"

namespace hecate::sharding {

/// Rows that each holder of each expert computes so that the devices' total rows are as level as
/// the replicas allow: [expert][position among its holders], summing to the expert's total.
/// Repeated water-filling, one expert at a time (coordinate descent on the sum of squared device
/// rows, at most `kLevelPasses` over all experts). Internal to plan_dispatch.
/// @param totals per expert.
std::vector<std::vector<int64_t>> level_targets(std::span<const int64_t> totals,
                                                const collectives::Placement& materialized);

inline constexpr int kLevelPasses = 8;

}  // namespace hecate::sharding
