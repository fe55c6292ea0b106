#include "sharding/policies/eplb.h"

#include <algorithm>
#include <numeric>

#include "runtime/base/error.h"
#include "sharding/load_order.h"

namespace hecate::sharding {
namespace {

// Items by falling weight, each to the lightest pack with room; every pack gets equally many, in
// the order in which they came.
std::vector<std::vector<int>> packed(std::span<const double> weights, int packs) {
  const auto items = static_cast<int>(weights.size());
  const auto room = static_cast<size_t>(items / packs);
  std::vector<std::vector<int>> result(static_cast<size_t>(packs));
  if (room == 1) {  // nothing to balance: in order
    for (int i = 0; i < items; ++i) result[static_cast<size_t>(i)].push_back(i);
    return result;
  }
  std::vector<double> weight_of(static_cast<size_t>(packs));
  for (int i : most_loaded(weights, items)) {
    size_t best = result.size();
    for (size_t p = 0; p < result.size(); ++p)
      if (result[p].size() < room && (best == result.size() || weight_of[p] < weight_of[best]))
        best = p;
    result[best].push_back(i);
    weight_of[best] += weights[static_cast<size_t>(i)];
  }
  return result;
}

void check(int experts, const EplbShape& shape) {
  HECATE_CHECK(shape.groups > 0 && shape.nodes > 0 && shape.devices > 0 && experts > 0,
               "eplb: ", experts, " experts, ", shape.groups, " groups, ", shape.nodes, " nodes, ",
               shape.devices, " devices; expected positive numbers");
  HECATE_CHECK(experts % shape.groups == 0, "eplb: ", experts, " experts do not divide into ",
               shape.groups, " groups");
  HECATE_CHECK(shape.devices % shape.nodes == 0 && shape.replicas % shape.devices == 0,
               "eplb: ", shape.replicas, " replicas on ", shape.devices, " devices on ",
               shape.nodes, " nodes do not divide");
  HECATE_CHECK(shape.replicas >= experts, "eplb: ", shape.replicas, " replicas for ", experts,
               " experts");
}

}  // namespace

EplbLayer eplb(std::span<const double> loads, EplbShape shape) {
  const auto experts = static_cast<int>(loads.size());
  check_loads(loads, experts, "eplb");
  check(experts, shape);
  if (shape.groups % shape.nodes != 0) shape.groups = shape.nodes = 1;
  const int group_size = experts / shape.groups, slots = shape.replicas / shape.nodes;
  std::vector<double> group_loads;
  for (int g = 0; g < shape.groups; ++g) {
    const auto first = loads.begin() + g * group_size;
    group_loads.push_back(std::accumulate(first, first + group_size, 0.0));
  }
  EplbLayer layer{.expert_of = {}, .copies = std::vector<int>(loads.size(), 1)};
  for (const std::vector<int>& groups : packed(group_loads, shape.nodes)) {
    std::vector<int> copy_of;  // the expert of each of the node's copies
    for (int g : groups)
      for (int e = g * group_size; e < (g + 1) * group_size; ++e) copy_of.push_back(e);
    const std::vector<int> own = copy_of;
    const auto load_per_copy = [&](int e) {
      return loads[static_cast<size_t>(e)] / layer.copies[static_cast<size_t>(e)];
    };
    while (copy_of.size() < static_cast<size_t>(slots)) {
      const int heaviest = *std::max_element(own.begin(), own.end(), [&](int a, int b) {
        return load_per_copy(a) < load_per_copy(b);
      });
      copy_of.push_back(heaviest);
      ++layer.copies[static_cast<size_t>(heaviest)];
    }
    std::vector<double> weights;
    for (int e : copy_of) weights.push_back(load_per_copy(e));
    for (const std::vector<int>& device : packed(weights, shape.devices / shape.nodes))
      for (int copy : device) layer.expert_of.push_back(copy_of[static_cast<size_t>(copy)]);
  }
  return layer;
}

}  // namespace hecate::sharding
