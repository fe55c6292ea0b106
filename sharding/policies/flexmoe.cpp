#include "sharding/policies/flexmoe.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/base/error.h"
#include "sharding/node_map.h"

namespace hecate::sharding {
namespace {

size_t at(int i) {
  return static_cast<size_t>(i);
}

// An all-reduce among an expert's holders, over the slowest link between them.
double sync_seconds(std::span<const int> holders, const LayerCost& cost) {
  if (holders.size() < 2) return 0;
  const auto node = [&](int device) { return cost.topology.node_of[at(device)]; };
  const bool one_node =
      std::ranges::all_of(holders, [&](int device) { return node(device) == node(holders[0]); });
  const auto& link = one_node ? cost.topology.inside : cost.topology.between;
  const auto among = static_cast<double>(holders.size());
  return 2 * (among - 1) / among * cost.reduce_bytes / link.bytes_per_s;
}

std::vector<int> holders_of(const ExpertCopies& copies, int e) {
  std::vector<int> holders;
  for (int d = 0; d < copies.devices(); ++d)
    if (copies.count(e, d) > 0) holders.push_back(d);
  return holders;
}

// Works on one layer's placement, change by change.
class Rearranger {
 public:
  Rearranger(ExpertCopies copies, std::span<const double> loads, const LayerCost& cost)
      : copies_(std::move(copies)),
        loads_(loads),
        cost_(cost),
        nodes_(cost.topology.node_of),
        load_of_(at(copies_.experts())) {
    for (int e = 0; e < copies_.experts(); ++e) holders_.push_back(holders_of(copies_, e));
    for (size_t i = 0; i < loads.size(); ++i) load_of_[i % load_of_.size()] += loads[i];
    present_ = flexmoe_cost(copies_, loads_, cost_);
  }

  const FlexMoeCost& present() const { return present_; }
  ExpertCopies copies() && { return std::move(copies_); }

  bool expand() {
    const int grows = most_per_slot(), shrinks = least_per_slot();
    if (shrinks < 0 || grows == shrinks) return false;
    std::optional<int> best;
    FlexMoeCost least = present_;
    for (int d : holders_of(copies_, shrinks)) {
      turn(shrinks, grows, d);
      const FlexMoeCost cost = flexmoe_cost(copies_, loads_, cost_);
      turn(grows, shrinks, d);
      if (cost.seconds < least.seconds) {
        least = cost;
        best = d;
      }
    }
    if (!best) return false;
    turn(shrinks, grows, *best);
    present_ = least;
    return true;
  }

  bool migrate() {
    for (int e = 0; e < copies_.experts(); ++e)
      if (bring_together(e)) return true;
    return false;
  }

 private:
  double per_slot(int e) const { return load_of_[at(e)] / copies_.total(e); }

  int most_per_slot() const {
    int best = 0;
    for (int e = 1; e < copies_.experts(); ++e)
      if (per_slot(e) > per_slot(best)) best = e;
    return best;
  }
  int least_per_slot() const {
    int best = -1;
    for (int e = 0; e < copies_.experts(); ++e)
      if (copies_.total(e) > 1 && (best < 0 || per_slot(e) < per_slot(best))) best = e;
    return best;
  }

  // A slot of `from` on a device becomes one of `to`.
  void turn(int from, int to, int device) {
    copies_.add(from, device, -1);
    if (copies_.count(from, device) == 0) std::erase(holders_[at(from)], device);
    if (copies_.count(to, device) == 0) holders_[at(to)].push_back(device);
    copies_.add(to, device, 1);
  }
  void swap_slots(int e, int device, int other, int other_device) {
    turn(e, other, device);
    turn(other, e, other_device);
  }

  // The nodes with most and fewest slots of an expert, of those that have any.
  std::pair<int, int> fullest_and_emptiest(int e) const {
    std::vector<int> slots(at(nodes_.nodes()));
    for (int d : holders_[at(e)]) slots[at(nodes_.node(d))] += copies_.count(e, d);
    int most = 0, fewest = -1;
    for (int n = 0; n < nodes_.nodes(); ++n) {
      if (slots[at(n)] > slots[at(most)]) most = n;
      if (slots[at(n)] > 0 && (fewest < 0 || slots[at(n)] <= slots[at(fewest)])) fewest = n;
    }
    return {most, fewest};
  }

  struct Swap {
    int device = 0, other = 0, other_device = 0;
    double sync_seconds = 0;  // afterwards, of all experts
  };

  bool bring_together(int e) {
    const auto [to_node, from_node] = fullest_and_emptiest(e);
    if (to_node == from_node) return false;
    std::vector<Swap> swaps = cheaper_swaps(e, from_node, to_node);
    std::ranges::stable_sort(swaps, {}, &Swap::sync_seconds);
    for (const Swap& swap : swaps) {
      swap_slots(e, swap.device, swap.other, swap.other_device);
      const FlexMoeCost cost = flexmoe_cost(copies_, loads_, cost_);
      if (cost.seconds <= present_.seconds && cost.sync_seconds < present_.sync_seconds) {
        present_ = cost;
        return true;
      }
      swap_slots(swap.other, swap.device, e, swap.other_device);
    }
    return false;
  }

  std::vector<Swap> cheaper_swaps(int e, int from_node, int to_node) {
    std::vector<Swap> swaps;
    std::vector<int> leaving;
    for (int d : holders_of(copies_, e))
      if (nodes_.node(d) == from_node) leaving.push_back(d);
    for (int d : leaving)
      for (int d2 : nodes_.members(to_node))
        for (int other = 0; other < copies_.experts(); ++other) {
          if (other == e || copies_.count(other, d2) == 0) continue;
          const double before = sync_of(e) + sync_of(other);
          swap_slots(e, d, other, d2);
          const double gain = before - sync_of(e) - sync_of(other);
          swap_slots(other, d, e, d2);
          if (gain > 0) swaps.push_back({d, other, d2, present_.sync_seconds - gain});
        }
    return swaps;
  }
  double sync_of(int e) const { return sync_seconds(holders_[at(e)], cost_); }

  ExpertCopies copies_;
  std::span<const double> loads_;
  const LayerCost& cost_;
  NodeMap nodes_;
  std::vector<std::vector<int>> holders_;  // per expert, in any order
  std::vector<double> load_of_;
  FlexMoeCost present_;
};

}  // namespace

FlexMoeCost flexmoe_cost(const ExpertCopies& copies, std::span<const double> loads,
                         const LayerCost& cost) {
  const int experts = copies.experts(), devices = copies.devices();
  std::vector<double> load_of(at(experts)), seconds(at(devices)), tokens(at(devices));
  std::vector<double> of_node(at(cost.topology.nodes()) * at(experts));
  for (int s = 0; s < devices; ++s)
    for (int e = 0; e < experts; ++e) {
      const double load = loads[at(s) * at(experts) + at(e)];
      load_of[at(e)] += load;
      of_node[at(cost.topology.node_of[at(s)]) * at(experts) + at(e)] += load;
    }
  FlexMoeCost result;
  for (int e = 0; e < experts; ++e) {
    const std::vector<int> holders = holders_of(copies, e);
    const double sync = sync_seconds(holders, cost);
    result.sync_seconds += sync;
    for (int d : holders) {
      const double share = static_cast<double>(copies.count(e, d)) / copies.total(e);
      const double same_node = of_node[at(cost.topology.node_of[at(d)]) * at(experts) + at(e)];
      const double own = loads[at(d) * at(experts) + at(e)];
      const double exchange = cost.row_bytes * share *
                              ((same_node - own) / cost.topology.inside.bytes_per_s +
                               (load_of[at(e)] - same_node) / cost.topology.between.bytes_per_s);
      tokens[at(d)] += share * load_of[at(e)];
      seconds[at(d)] +=
          share * load_of[at(e)] * cost.seconds_per_row + cost.exchanges * exchange + sync;
    }
  }
  result.seconds = *std::ranges::max_element(seconds);
  const double sum = std::accumulate(tokens.begin(), tokens.end(), 0.0);
  if (sum > 0) result.max_over_mean = *std::ranges::max_element(tokens) * devices / sum;
  return result;
}

ExpertCopies flexmoe(const ExpertCopies& present, std::span<const double> loads,
                     const LayerCost& cost, const FlexMoeLimits& limits) {
  HECATE_CHECK(loads.size() == at(present.devices()) * at(present.experts()) &&
                   cost.topology.ranks() == present.devices(),
               "flexmoe: ", loads.size(), " loads and ", cost.topology.ranks(),
               " devices with a node; expected ", present.devices(), " devices x ",
               present.experts(), " experts");
  Rearranger rearranger(present, loads, cost);
  if (rearranger.present().max_over_mean <= limits.threshold) return present;
  for (int round = 0; round < limits.rounds && rearranger.expand(); ++round) {
  }
  for (int swap = 0; swap < limits.swaps && rearranger.migrate(); ++swap) {
  }
  return std::move(rearranger).copies();
}

}  // namespace hecate::sharding
