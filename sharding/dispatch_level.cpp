#include "sharding/dispatch_level.h"

#include <algorithm>
#include <numeric>

namespace hecate::sharding {
namespace {

// Splits `rows` over holders with the given rows of other experts so that the lowest rise first.
// Whole rows; of equal holders the first get the remainder.
void water_fill(int64_t rows, std::span<const int64_t> base, std::vector<int64_t>& share) {
  std::vector<size_t> order(base.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return base[a] < base[b]; });
  int64_t below = 0;
  size_t wet = 0;
  while (wet < order.size()) {
    const int64_t next = base[order[wet]];
    if (wet > 0 && next * static_cast<int64_t>(wet) - below >= rows) break;
    below += next;
    ++wet;
  }
  const int64_t filled = rows + below;
  const auto count = static_cast<int64_t>(wet);
  std::fill(share.begin(), share.end(), 0);
  for (size_t i = 0; i < wet; ++i)
    share[order[i]] =
        filled / count + (static_cast<int64_t>(i) < filled % count ? 1 : 0) - base[order[i]];
}

}  // namespace

std::vector<std::vector<int64_t>> level_targets(std::span<const int64_t> totals,
                                                const collectives::Placement& materialized) {
  const auto experts = static_cast<size_t>(materialized.experts());
  std::vector<std::vector<int64_t>> targets(experts);
  std::vector<int64_t> device_rows(static_cast<size_t>(materialized.devices()));
  std::vector<size_t> shared;
  for (size_t e = 0; e < experts; ++e) {
    const auto holders = materialized.holders(static_cast<int>(e));
    targets[e].resize(holders.size());
    if (totals[e] == 0) continue;
    if (holders.size() > 1) {
      shared.push_back(e);
    } else {
      targets[e][0] = totals[e];
      device_rows[static_cast<size_t>(holders[0])] += totals[e];
    }
  }
  std::stable_sort(shared.begin(), shared.end(),
                   [&](size_t a, size_t b) { return totals[a] > totals[b]; });
  std::vector<int64_t> base, share;
  for (int pass = 0, changed = 1; pass < kLevelPasses && changed != 0; ++pass) {
    changed = 0;
    for (size_t e : shared) {
      const auto holders = materialized.holders(static_cast<int>(e));
      base.resize(holders.size());
      share.resize(holders.size());
      for (size_t i = 0; i < holders.size(); ++i)
        base[i] = device_rows[static_cast<size_t>(holders[i])] - targets[e][i];
      water_fill(totals[e], base, share);
      if (share == targets[e]) continue;
      changed = 1;
      targets[e] = share;
      for (size_t i = 0; i < holders.size(); ++i)
        device_rows[static_cast<size_t>(holders[i])] = base[i] + share[i];
    }
  }
  return targets;
}

}  // namespace hecate::sharding
