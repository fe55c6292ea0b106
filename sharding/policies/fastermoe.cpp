#include "sharding/policies/fastermoe.h"

#include <algorithm>

#include "runtime/base/error.h"
#include "sharding/load_order.h"

namespace hecate::sharding {

ShadowSeconds shadow_seconds(const FasterMoeCost& cost) {
  HECATE_CHECK(cost.d_model > 0 && cost.hidden_ratio > 0 && cost.bytes > 0 && cost.bandwidth > 0 &&
                   cost.flops > 0,
               "fastermoe: d_model ", cost.d_model, ", hidden ratio ", cost.hidden_ratio,
               ", bytes ", cost.bytes, ", bandwidth ", cost.bandwidth, ", flops ", cost.flops,
               "; expected positive numbers");
  const double weights = cost.hidden_ratio * cost.d_model * cost.d_model;
  return {
      .token = 3 * (4 * weights / cost.flops) + 4 * (cost.d_model * cost.bytes / cost.bandwidth),
      .model = 2 * weights * cost.bytes / cost.bandwidth};
}

std::vector<int> shadowed_experts(std::span<const double> loads, const FasterMoeCost& cost) {
  return shadowed_experts(loads, shadow_seconds(cost), static_cast<int>(loads.size()));
}

std::vector<int> shadowed_experts(std::span<const double> loads, const ShadowSeconds& seconds,
                                  int most) {
  const auto experts = static_cast<int>(loads.size());
  check_loads(loads, experts, "fastermoe");
  const std::vector<int> order = most_loaded(loads, experts);
  const auto heaviest = [&](size_t k) {
    return k < order.size() ? loads[static_cast<size_t>(order[k])] : 0.0;
  };
  std::vector<int> shadowed;
  double present = seconds.token * heaviest(0);
  for (size_t k = 0; k < order.size() && std::ssize(shadowed) < most; ++k) {
    const double next =
        seconds.token * heaviest(k + 1) + static_cast<double>(k + 1) * seconds.model;
    if (next >= present) break;
    present = next;
    shadowed.push_back(order[k]);
  }
  std::sort(shadowed.begin(), shadowed.end());
  return shadowed;
}

}  // namespace hecate::sharding
