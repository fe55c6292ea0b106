#include "sharding/materialization.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "runtime/base/error.h"
#include "sharding/load_order.h"
#include "sharding/node_map.h"

namespace hecate::sharding {
namespace {

using collectives::Placement;

size_t at(int i) {
  return static_cast<size_t>(i);
}

// Free copies per device, and the placing of one expert's copies.
class Slots {
 public:
  Slots(const NodeMap& nodes, std::vector<int> free)
      : nodes_(nodes),
        free_(std::move(free)),
        free_in_node_(at(nodes.nodes())),
        copies_(at(nodes.nodes())),
        places_(at(nodes.nodes())) {
    for (int d = 0; d < nodes.devices(); ++d) free_in_node_[at(nodes.node(d))] += free_[at(d)];
    left_ = std::accumulate(free_.begin(), free_.end(), int64_t{0});
  }
  int64_t left() const { return left_; }

  // Up to `copies` more of the expert, as long as a device has room.
  void place(Placement& placement, int expert, int64_t copies) {
    std::fill(copies_.begin(), copies_.end(), 0);
    for (int d : placement.holders(expert)) ++copies_[at(nodes_.node(d))];
    for (int n = 0; n < nodes_.nodes(); ++n) {
      places_[at(n)] = 0;
      for (int d : nodes_.members(n))
        places_[at(n)] += free_[at(d)] > 0 && !placement.holds(expert, d) ? 1 : 0;
    }
    for (; copies > 0; --copies) {
      const int node = next_node();
      if (node < 0) return;
      const int device = next_device(placement, expert, node);
      placement.add(expert, device);
      --free_[at(device)];
      --free_in_node_[at(node)];
      --places_[at(node)];
      ++copies_[at(node)];
      --left_;
    }
  }

 private:
  int next_node() const {
    int best = -1;
    for (int n = 0; n < nodes_.nodes(); ++n) {
      if (places_[at(n)] == 0) continue;
      if (best < 0 || copies_[at(n)] < copies_[at(best)] ||
          (copies_[at(n)] == copies_[at(best)] && free_in_node_[at(n)] > free_in_node_[at(best)]))
        best = n;
    }
    return best;
  }

  int next_device(const Placement& placement, int expert, int node) const {
    int best = -1;
    for (int d : nodes_.members(node))
      if (free_[at(d)] > 0 && (best < 0 || free_[at(d)] > free_[at(best)]) &&
          !placement.holds(expert, d))
        best = d;
    return best;
  }

  const NodeMap& nodes_;
  std::vector<int> free_, free_in_node_;
  // Of the expert being placed, per node.
  std::vector<int> copies_, places_;
  int64_t left_ = 0;
};

double sum_over(std::span<const double> loads, std::span<const int> experts) {
  double sum = 0;
  for (int e : experts) sum += loads[at(e)];
  return sum;
}

// The copies that an expert of this load deserves among `slots`.
int64_t share_of(int64_t slots, double load, double sum, int devices) {
  const double exact = sum > 0 ? static_cast<double>(slots) * load / sum : 0.0;
  const auto copies = static_cast<int64_t>(std::floor(exact + 0.5));
  return std::min<int64_t>(std::max<int64_t>(copies, 1), devices - 1);
}

void check_sizes(const Placement& owners, const NodeMap& nodes, int t) {
  HECATE_CHECK(nodes.devices() == owners.devices(), "materialize: ", nodes.devices(),
               " devices with a node for a placement on ", owners.devices());
  HECATE_CHECK(t >= 0, "materialize: t = ", t, ", expected 0 or more");
}

}  // namespace

Placement materialize(const Placement& owners, std::span<const double> loads, int t, int m,
                      std::span<const int> node_of) {
  const NodeMap nodes(node_of);
  check_sizes(owners, nodes, t);
  HECATE_CHECK(m >= 0, "materialize: m = ", m, ", expected 0 or more");
  check_loads(loads, owners.experts(), "materialize");
  collectives::owners_of(owners);
  t = std::min(t, owners.experts());
  m = std::min(m, t);
  Placement placement = owners;
  const std::vector<int> hot = most_loaded(loads, t);
  if (t <= m) {
    for (int e : hot) placement.add_everywhere(e);
    return placement;
  }
  Slots slots(nodes, std::vector<int>(at(nodes.devices()), m));
  const int64_t all = slots.left();
  const double sum = sum_over(loads, hot);
  for (int e : hot) slots.place(placement, e, share_of(all, loads[at(e)], sum, nodes.devices()));
  return placement;
}

std::optional<Calibration> calibrate(const CalibrationRequest& request, const LayerCost& cost) {
  const Placement& before = *request.materialized;
  collectives::check_materialized(*request.owners, before);
  const NodeMap nodes(cost.topology.node_of);
  check_sizes(before, nodes, request.t);
  HECATE_CHECK(request.free_slots.size() == at(nodes.devices()),
               "calibrate: ", request.free_slots.size(), " slot counts for ", nodes.devices(),
               " devices");
  for (int free : request.free_slots) HECATE_CHECK(free >= 0, "calibrate: ", free, " free slots");
  HECATE_CHECK(request.counts.size() == at(before.experts()) * at(nodes.devices()),
               "calibrate: ", request.counts.size(), " counts for ", nodes.devices(), " devices x ",
               before.experts(), " experts");
  std::vector<double> loads(at(before.experts()));
  for (size_t i = 0; i < request.counts.size(); ++i)
    loads[i % loads.size()] += static_cast<double>(request.counts[i]);

  Placement after = before;
  Slots slots(nodes, {request.free_slots.begin(), request.free_slots.end()});
  int64_t all = slots.left();
  for (int e = 0; e < before.experts(); ++e) all += std::ssize(before.holders(e)) - 1;
  const std::vector<int> hot = most_loaded(loads, request.t);
  const double sum = sum_over(loads, hot);
  for (int e : hot) {
    const int64_t deserved = share_of(all, loads[at(e)], sum, nodes.devices());
    slots.place(after, e, deserved - (std::ssize(before.holders(e)) - 1));
  }
  if (after == before) return std::nullopt;

  const auto seconds = [&](const Placement& placement) {
    return layer_seconds(
        cost, plan_dispatch(request.counts, placement, nodes.node_of(), request.dispatch));
  };
  const double saved = seconds(before) - seconds(after);
  const double extra = gather_seconds(cost, before, after, cost.gather_bytes) +
                       cost.reduce_exposed * gather_seconds(cost, before, after, cost.reduce_bytes);
  if (saved <= extra) return std::nullopt;
  return Calibration{std::move(after), saved, extra};
}

}  // namespace hecate::sharding
