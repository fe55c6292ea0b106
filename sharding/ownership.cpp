#include "sharding/ownership.h"

#include <algorithm>
#include <numeric>

#include "runtime/base/error.h"
#include "sharding/load_order.h"
#include "sharding/node_map.h"

namespace hecate::sharding {
namespace {

size_t at(int i) {
  return static_cast<size_t>(i);
}

// Works out algorithm 2.
class Resharder {
 public:
  Resharder(std::span<const std::vector<double>> loads, int t, const NodeMap& nodes)
      : loads_(loads),
        nodes_(nodes),
        layers_(static_cast<int>(loads.size())),
        experts_(static_cast<int>(loads[0].size())),
        owner_(at(layers_) * at(experts_), -1),
        free_(at(nodes.devices())),
        free_in_node_(at(nodes.nodes())) {
    const int total = layers_ * experts_, devices = nodes.devices();
    for (int d = 0; d < devices; ++d) {
      free_[at(d)] = total / devices + (d < total % devices ? 1 : 0);
      free_in_node_[at(nodes.node(d))] += free_[at(d)];
    }
    for (int l = 0; l < layers_; ++l) {
      std::vector<int> order = most_loaded(loads[at(l)], experts_);
      const auto cut = order.begin() + std::min(t, experts_);
      hot_.emplace_back(order.begin(), cut);
      rest_.emplace_back(cut, order.end());
    }
  }

  void place_rest() {
    std::vector<int> order(at(layers_));
    std::iota(order.begin(), order.end(), 0);
    const auto highest = [&](int l) {
      return rest_[at(l)].empty() ? 0.0 : loads_[at(l)][at(rest_[at(l)][0])];
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return highest(a) > highest(b); });
    std::vector<double> device_load(at(nodes_.devices())), node_load(at(nodes_.nodes()));
    std::vector<int> all_nodes(at(nodes_.nodes()));
    std::iota(all_nodes.begin(), all_nodes.end(), 0);
    for (int l : order) {
      std::fill(device_load.begin(), device_load.end(), 0.0);
      std::fill(node_load.begin(), node_load.end(), 0.0);
      for (int e : rest_[at(l)]) {
        const int node = least_loaded(all_nodes, node_load, free_in_node_);
        const int device = least_loaded(nodes_.members(node), device_load, free_);
        owner_[at(l) * at(experts_) + at(e)] = device;
        device_load[at(device)] += loads_[at(l)][at(e)];
        node_load[at(node)] += loads_[at(l)][at(e)];
        --free_[at(device)];
        --free_in_node_[at(node)];
      }
    }
  }

  // Deals the free slots, device after device and node after node, round the layers like cards:
  // each layer gets the slots of every device, and of every node, rounded down or up.
  void place_hot(const Ownership* present) {
    std::vector<std::vector<int>> slots(at(layers_), std::vector<int>(at(nodes_.devices())));
    int layer = 0;
    for (int n = 0; n < nodes_.nodes(); ++n)
      for (int d : nodes_.members(n))
        for (int i = 0; i < free_[at(d)]; ++i, layer = (layer + 1) % layers_)
          ++slots[at(layer)][at(d)];
    for (int l = 0; l < layers_; ++l) place_hot_of(l, slots[at(l)], present);
  }

  std::vector<int> owners() && { return std::move(owner_); }

 private:
  // The least loaded with a free slot; ties: fewer free slots, then the earlier.
  static int least_loaded(std::span<const int> candidates, std::span<const double> load,
                          std::span<const int> free) {
    int best = -1;
    for (int c : candidates) {
      if (free[at(c)] == 0) continue;
      if (best < 0 || load[at(c)] < load[at(best)] ||
          (load[at(c)] == load[at(best)] && free[at(c)] < free[at(best)]))
        best = c;
    }
    return best;
  }

  void place_hot_of(int l, std::vector<int>& slots, const Ownership* present) {
    std::vector<double> hot_load(at(nodes_.nodes()));
    std::vector<int> open(at(nodes_.nodes())), all_nodes(at(nodes_.nodes()));
    std::iota(all_nodes.begin(), all_nodes.end(), 0);
    for (int d = 0; d < nodes_.devices(); ++d) open[at(nodes_.node(d))] += slots[at(d)];
    const auto take = [&](int expert, int device) {
      owner_[at(l) * at(experts_) + at(expert)] = device;
      hot_load[at(nodes_.node(device))] += loads_[at(l)][at(expert)];
      --slots[at(device)];
      --open[at(nodes_.node(device))];
    };
    std::vector<int> moving;
    for (int e : hot_[at(l)]) {
      const int stay = present != nullptr ? present->owner(l, e) : -1;
      if (stay >= 0 && slots[at(stay)] > 0)
        take(e, stay);
      else
        moving.push_back(e);
    }
    const std::vector<double> none(at(nodes_.devices()));
    for (int e : moving) {
      const int node = least_loaded(all_nodes, hot_load, open);
      take(e, least_loaded(nodes_.members(node), none, slots));
    }
  }

  std::span<const std::vector<double>> loads_;
  const NodeMap& nodes_;
  int layers_, experts_;
  std::vector<std::vector<int>> hot_, rest_;  // per layer, by falling load
  std::vector<int> owner_, free_, free_in_node_;
};

}  // namespace

Ownership::Ownership(int layers, int experts, int devices, std::vector<int> owner)
    : Ownership(layers, experts, devices, std::move(owner), Shares::even) {}

Ownership Ownership::uneven(int layers, int experts, int devices, std::vector<int> owner) {
  return {layers, experts, devices, std::move(owner), Shares::any};
}

Ownership::Ownership(int layers, int experts, int devices, std::vector<int> owner, Shares shares)
    : layers_(layers), experts_(experts), devices_(devices), owner_(std::move(owner)) {
  HECATE_CHECK(layers > 0 && experts > 0 && devices > 0, "ownership: ", layers, " layers, ",
               experts, " experts, ", devices, " devices; expected positive numbers");
  const int total = layers * experts;
  HECATE_CHECK(owner_.size() == at(total), "ownership: ", owner_.size(), " owners for ", layers,
               " layers x ", experts, " experts");
  std::vector<int> owned(at(devices));
  for (size_t i = 0; i < owner_.size(); ++i) {
    HECATE_CHECK(owner_[i] >= 0 && owner_[i] < devices, "ownership: layer ", i / at(experts),
                 ", expert ", i % at(experts), " is owned by device ", owner_[i], " of ", devices);
    ++owned[at(owner_[i])];
  }
  for (int d = 0; shares == Shares::even && d < devices; ++d)
    HECATE_CHECK(owned[at(d)] >= total / devices && owned[at(d)] <= (total + devices - 1) / devices,
                 "ownership: device ", d, " owns ", owned[at(d)], " experts over all layers, ",
                 "expected ", total / devices, total % devices == 0 ? "" : " or one more");
}

std::vector<int> Ownership::owned(int l, int device) const {
  std::vector<int> result;
  for (int e = 0; e < experts_; ++e)
    if (owner(l, e) == device) result.push_back(e);
  return result;
}

Ownership even_ownership(int layers, int experts, std::span<const int> node_of) {
  const NodeMap nodes(node_of);
  HECATE_CHECK(layers > 0 && experts > 0, "ownership: ", layers, " layers, ", experts,
               " experts; expected positive numbers");
  const int devices = nodes.devices(), each = experts / devices, extra = experts % devices;
  const std::vector<int> order = nodes.interleaved();
  std::vector<int> owner;
  owner.reserve(at(layers) * at(experts));
  for (int l = 0; l < layers; ++l) {
    std::vector<int> counts(at(devices), each);
    const auto first = static_cast<int64_t>(l) * extra;
    for (int i = 0; i < extra; ++i) ++counts[at(order[static_cast<size_t>((first + i) % devices)])];
    for (int d = 0; d < devices; ++d) owner.insert(owner.end(), at(counts[at(d)]), d);
  }
  return Ownership(layers, experts, devices, std::move(owner));
}

Ownership reshard(std::span<const std::vector<double>> loads, int t, std::span<const int> node_of,
                  const Ownership* present) {
  const NodeMap nodes(node_of);
  HECATE_CHECK(!loads.empty() && !loads[0].empty(), "reshard: no layers or no experts");
  HECATE_CHECK(t >= 0, "reshard: t = ", t, ", expected 0 or more");
  const auto layers = static_cast<int>(loads.size()), experts = static_cast<int>(loads[0].size());
  for (const auto& layer : loads) check_loads(layer, experts, "reshard");
  HECATE_CHECK(
      present == nullptr || (present->layers() == layers && present->experts() == experts &&
                             present->devices() == nodes.devices()),
      "reshard: the present owners are of another shape than ", layers, " layers x ", experts,
      " experts on ", nodes.devices(), " devices");
  Resharder resharder(loads, t, nodes);
  resharder.place_rest();
  resharder.place_hot(present);
  return Ownership(layers, experts, nodes.devices(), std::move(resharder).owners());
}

std::vector<OwnerMove> moves(const Ownership& before, const Ownership& after) {
  HECATE_CHECK(before.layers() == after.layers() && before.experts() == after.experts() &&
                   before.devices() == after.devices(),
               "ownership: moves between ", before.layers(), " x ", before.experts(), " on ",
               before.devices(), " and ", after.layers(), " x ", after.experts(), " on ",
               after.devices());
  std::vector<OwnerMove> result;
  for (int l = 0; l < before.layers(); ++l)
    for (int e = 0; e < before.experts(); ++e)
      if (before.owner(l, e) != after.owner(l, e))
        result.push_back({l, e, before.owner(l, e), after.owner(l, e)});
  return result;
}

}  // namespace hecate::sharding
