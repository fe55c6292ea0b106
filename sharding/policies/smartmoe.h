#pragma once
#include <span>
#include <vector>

namespace hecate::sharding {

struct SmartMoePlan {
  std::vector<int> owners;  ///< the new ones, or the present ones where these are kept
  bool adopted = false;     ///< the heaviest device's load falls
};

/// SmartMoE's exchange of experts between devices (Zhai et al., USENIX ATC 2023): experts by
/// falling load, each to the least loaded device with a free slot; ties to the present owner, then
/// the lower index. Kept only if the highest device load falls.
/// @param owners present ones, per expert. @param loads per expert. @param slots per device.
/// @throws InvalidArgument when sizes disagree or the experts have no room.
SmartMoePlan exchange_experts(std::span<const int> owners, std::span<const double> loads,
                              int devices, int slots);
/// The same with a number of slots for each device.
SmartMoePlan exchange_experts(std::span<const int> owners, std::span<const double> loads,
                              std::span<const int> slots);

}  // namespace hecate::sharding
