#pragma once
#include <span>
#include <vector>

namespace hecate::sharding {

/// The `count` most loaded experts by falling load; of equal load the lower index first. All of
/// them when there are fewer.
std::vector<int> most_loaded(std::span<const double> loads, int count);

/// @throws InvalidArgument unless there are `experts` loads, finite and not negative.
void check_loads(std::span<const double> loads, int experts, const char* operation);

}  // namespace hecate::sharding
