#include "sharding/policies/laer.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "runtime/base/error.h"
#include "sharding/dispatch.h"
#include "sharding/load_order.h"
#include "sharding/node_map.h"

namespace hecate::sharding {
namespace {

size_t at(int i) {
  return static_cast<size_t>(i);
}

std::vector<int> proportional(std::span<const double> loads, int nodes, int room) {
  const auto experts = static_cast<int>(loads.size());
  std::vector<int> replicas(loads.size(), nodes * experts <= room ? nodes : 1);
  std::vector<bool> frozen(loads.size(), false);
  int left = room - replicas.front() * experts;
  while (left > 0) {
    int heaviest = -1;
    const auto per_replica = [&](int e) { return loads[at(e)] / replicas[at(e)]; };
    for (int e = 0; e < experts; ++e)
      if (!frozen[at(e)] && (heaviest < 0 || per_replica(e) > per_replica(heaviest))) heaviest = e;
    if (heaviest < 0) break;
    const int more = replicas[at(heaviest)] >= nodes ? nodes : 1;
    if (more > left) {
      frozen[at(heaviest)] = true;
      continue;
    }
    replicas[at(heaviest)] += more;
    left -= more;
  }
  return replicas;
}

// Puts replicas into slots.
class Placer {
 public:
  Placer(int experts, const NodeMap& nodes, int slots)
      : nodes_(nodes),
        copies_(experts, nodes.devices()),
        load_(at(nodes.devices())),
        free_(at(nodes.devices()), slots) {}

  void place(int e, double load) {
    std::vector<int> on_node(at(nodes_.nodes()));
    for (int d = 0; d < nodes_.devices(); ++d) on_node[at(nodes_.node(d))] += copies_.count(e, d);
    int fewest = -1;
    for (int n = 0; n < nodes_.nodes(); ++n)
      if (!nodes_.members(n).empty() && (fewest < 0 || on_node[at(n)] < fewest))
        fewest = on_node[at(n)];
    int device = least_loaded([&](int d) { return on_node[at(nodes_.node(d))] == fewest; });
    if (device < 0) device = least_loaded([](int) { return true; });
    copies_.add(e, device);
    load_[at(device)] += load;
    --free_[at(device)];
  }
  ExpertCopies copies() && { return std::move(copies_); }

 private:
  template <class Among>
  int least_loaded(const Among& among) const {
    int best = -1;
    for (int d = 0; d < nodes_.devices(); ++d)
      if (free_[at(d)] > 0 && among(d) && (best < 0 || load_[at(d)] < load_[at(best)])) best = d;
    return best;
  }

  const NodeMap& nodes_;
  ExpertCopies copies_;
  std::vector<double> load_;
  std::vector<int> free_;
};

ExpertCopies placed(std::span<const double> loads, std::span<const int> replicas,
                    const NodeMap& nodes, int slots) {
  const auto experts = static_cast<int>(loads.size());
  std::vector<double> per_replica;
  for (size_t e = 0; e < loads.size(); ++e) per_replica.push_back(loads[e] / replicas[e]);
  Placer placer(experts, nodes, slots);
  for (int e : most_loaded(per_replica, experts))
    for (int i = 0; i < replicas[at(e)]; ++i) placer.place(e, per_replica[at(e)]);
  return std::move(placer).copies();
}

double seconds_of(const ExpertCopies& copies, std::span<const int64_t> counts,
                  const LayerCost& cost) {
  const auto& topology = cost.topology;
  const DispatchPlan plan = plan_dispatch(counts, copies.placement(), topology.node_of,
                                          DispatchPolicy::node_even, copies.counts());
  double exchange = 0;
  int64_t most = 0;
  for (int d = 0; d < plan.devices(); ++d) {
    most = std::max(most, plan.rows_on(d));
    for (int s = 0; s < plan.devices(); ++s) {
      if (s == d) continue;
      const bool inside = topology.node_of[at(s)] == topology.node_of[at(d)];
      exchange += static_cast<double>(plan.rows_between(s, d)) * cost.row_bytes /
                  (inside ? topology.inside : topology.between).bytes_per_s;
    }
  }
  return cost.exchanges * exchange + static_cast<double>(most) * cost.seconds_per_row;
}

}  // namespace

LaerLayout laer_layout(std::span<const int64_t> counts, int slots, const LayerCost& cost) {
  const NodeMap nodes(cost.topology.node_of);
  const int devices = nodes.devices(), room = devices * slots;
  HECATE_CHECK(!counts.empty() && counts.size() % at(devices) == 0, "laer: ", counts.size(),
               " counts of ", devices, " devices");
  const auto experts = static_cast<int>(counts.size() / at(devices));
  HECATE_CHECK(experts <= room, "laer: ", experts, " experts in ", slots, " slots on each of ",
               devices, " devices");
  std::vector<double> loads(at(experts));
  for (size_t i = 0; i < counts.size(); ++i)
    loads[i % loads.size()] += static_cast<double>(counts[i]);
  std::vector<std::vector<int>> candidates;
  if (room % experts == 0) candidates.emplace_back(at(experts), room / experts);
  candidates.push_back(proportional(loads, nodes.nodes(), room));
  std::optional<LaerLayout> best;
  for (const std::vector<int>& replicas : candidates) {
    ExpertCopies copies = placed(loads, replicas, nodes, slots);
    const double seconds = seconds_of(copies, counts, cost);
    if (!best || seconds < best->seconds)
      best = LaerLayout{.copies = std::move(copies), .seconds = seconds};
  }
  return *std::move(best);
}

}  // namespace hecate::sharding
