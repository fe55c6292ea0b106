#include "sharding/load_order.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/base/error.h"

namespace hecate::sharding {

std::vector<int> most_loaded(std::span<const double> loads, int count) {
  std::vector<int> order(loads.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t kept = std::min(loads.size(), static_cast<size_t>(std::max(count, 0)));
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                    [&](int a, int b) {
                      const double x = loads[static_cast<size_t>(a)];
                      const double y = loads[static_cast<size_t>(b)];
                      return x != y ? x > y : a < b;
                    });
  order.resize(kept);
  return order;
}

void check_loads(std::span<const double> loads, int experts, const char* operation) {
  HECATE_CHECK(loads.size() == static_cast<size_t>(experts), operation, ": ", loads.size(),
               " loads for ", experts, " experts");
  for (size_t e = 0; e < loads.size(); ++e)
    HECATE_CHECK(std::isfinite(loads[e]) && loads[e] >= 0, operation, ": load ", loads[e],
                 " of expert ", e);
}

}  // namespace hecate::sharding
