#include "sharding/policies/fastermoe.h"

#include <algorithm>

#include "runtime/base/error.h"
#include "sharding/load_order.h"

namespace hecate::sharding {

std::vector<int> shadowed_experts(std::span<const double> loads, const FasterMoeCost& cost) {
  const auto experts = static_cast<int>(loads.size());
  check_loads(loads, experts, "fastermoe");
  HECATE_CHECK(cost.d_model > 0 && cost.hidden_ratio > 0 && cost.bytes > 0 && cost.bandwidth > 0 &&
                   cost.flops > 0,
               "fastermoe: d_model ", cost.d_model, ", hidden ratio ", cost.hidden_ratio,
               ", bytes ", cost.bytes, ", bandwidth ", cost.bandwidth, ", flops ", cost.flops,
               "; expected positive numbers");
  const double weights = cost.hidden_ratio * cost.d_model * cost.d_model;
  const double per_token =
      3 * (4 * weights / cost.flops) + 4 * (cost.d_model * cost.bytes / cost.bandwidth);
  const double per_model = 2 * weights * cost.bytes / cost.bandwidth;
  const std::vector<int> order = most_loaded(loads, experts);
  const auto heaviest = [&](size_t k) {
    return k < order.size() ? loads[static_cast<size_t>(order[k])] : 0.0;
  };
  std::vector<int> shadowed;
  double seconds = per_token * heaviest(0);
  for (size_t k = 0; k < order.size(); ++k) {
    const double next = per_token * heaviest(k + 1) + static_cast<double>(k + 1) * per_model;
    if (next >= seconds) break;
    seconds = next;
    shadowed.push_back(order[k]);
  }
  std::sort(shadowed.begin(), shadowed.end());
  return shadowed;
}

}  // namespace hecate::sharding
