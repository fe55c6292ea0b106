#include "sharding/dispatch.h"

#include <algorithm>
#include <numeric>

#include "runtime/base/error.h"
#include "sharding/dispatch_level.h"
#include "sharding/node_map.h"

namespace hecate::sharding {
namespace {

using collectives::Placement;

size_t at(int i) {
  return static_cast<size_t>(i);
}

// Every expert's holders, node by node.
class HoldersByNode {
 public:
  HoldersByNode(const Placement& placement, const NodeMap& nodes) : nodes_(nodes.nodes()) {
    std::vector<std::vector<int>> of_node(at(nodes_));
    for (int e = 0; e < placement.experts(); ++e) {
      for (int holder : placement.holders(e)) of_node[at(nodes.node(holder))].push_back(holder);
      for (auto& holders : of_node) {
        first_.push_back(holders_.size());
        holders_.insert(holders_.end(), holders.begin(), holders.end());
        holders.clear();
      }
    }
    first_.push_back(holders_.size());
  }
  std::span<const int> in_node(int expert, int node) const {
    const size_t i = at(expert) * at(nodes_) + at(node);
    return {holders_.data() + first_[i], holders_.data() + first_[i + 1]};
  }

 private:
  int nodes_;
  std::vector<size_t> first_;
  std::vector<int> holders_;
};

// The holder at place `first`, taken round, and those after it get the remainder.
void split_evenly(DispatchPlan& plan, int source, std::span<const int> holders, int64_t count,
                  size_t first) {
  const size_t among = holders.size();
  if (among == 1) return plan.add(source, holders[0], count);
  const auto rows = static_cast<size_t>(count);
  const size_t each = rows / among, rest = rows % among, turn = among - first % among;
  for (size_t i = 0; i < among; ++i)
    plan.add(source, holders[i], static_cast<int64_t>(each + ((i + turn) % among < rest ? 1 : 0)));
}

DispatchPlan plan_nearest(std::span<const int64_t> counts, const Placement& materialized,
                          const NodeMap& nodes) {
  const HoldersByNode by_node(materialized, nodes);
  DispatchPlan plan(materialized.devices(), materialized.experts());
  for (int s = 0; s < plan.devices(); ++s)
    for (int e = 0; e < plan.experts(); ++e) {
      const int64_t count = counts[at(s) * at(plan.experts()) + at(e)];
      std::span<const int> holders = by_node.in_node(e, nodes.node(s));
      if (count > 0 && std::binary_search(holders.begin(), holders.end(), s)) {
        plan.add(s, s, count);
      } else if (count > 0) {
        if (holders.empty()) holders = materialized.holders(e);
        split_evenly(plan, s, holders, count, at(s) + at(e));
      }
      plan.close_pair();
    }
  return plan;
}

// By the holders' shares, rounded down; the remainder as in split_evenly.
void split_by_shares(DispatchPlan& plan, int source, std::span<const int> holders,
                     std::span<const int> shares, int64_t count, size_t first) {
  int64_t sum = 0, left = count;
  for (int holder : holders) sum += shares[at(holder)];
  for (int holder : holders) left -= count * shares[at(holder)] / sum;
  const size_t among = holders.size(), turn = among - first % among;
  for (size_t i = 0; i < among; ++i) {
    const bool takes_more = (i + turn) % among < static_cast<size_t>(left);
    plan.add(source, holders[i], count * shares[at(holders[i])] / sum + (takes_more ? 1 : 0));
  }
}

DispatchPlan plan_even(std::span<const int64_t> counts, const Placement& materialized,
                       const NodeMap& nodes, bool inside_first, std::span<const int> copies) {
  const HoldersByNode by_node(materialized, nodes);
  DispatchPlan plan(materialized.devices(), materialized.experts());
  const auto devices = at(plan.devices());
  for (int s = 0; s < plan.devices(); ++s)
    for (int e = 0; e < plan.experts(); ++e) {
      const int64_t count = counts[at(s) * at(plan.experts()) + at(e)];
      std::span<const int> holders = materialized.holders(e);
      const std::span<const int> inside = by_node.in_node(e, nodes.node(s));
      if (inside_first && !inside.empty()) holders = inside;
      if (count > 0 && copies.empty())
        split_evenly(plan, s, holders, count, at(s) + at(e));
      else if (count > 0)
        split_by_shares(plan, s, holders, copies.subspan(at(e) * devices, devices), count,
                        at(s) + at(e));
      plan.close_pair();
    }
  return plan;
}

// Fills one expert's holders up to their targets (the room): own tokens first, then the same
// node's, then the rest; sources rising. flow [sources, holders].
void meet_targets(std::span<int64_t> left_of_source, std::span<int64_t> room,
                  std::span<const int> holders, const NodeMap& nodes, std::vector<int64_t>& flow) {
  const size_t among = holders.size();
  flow.assign(left_of_source.size() * among, 0);
  const auto move = [&](size_t s, size_t h) {
    const int64_t rows = std::min(left_of_source[s], room[h]);
    flow[s * among + h] += rows;
    left_of_source[s] -= rows;
    room[h] -= rows;
  };
  for (size_t h = 0; h < among; ++h) move(at(holders[h]), h);
  for (size_t h = 0; h < among; ++h)
    for (int s : nodes.members(nodes.node(holders[h]))) move(at(s), h);
  size_t h = 0;
  for (size_t s = 0; s < left_of_source.size(); ++s)
    while (left_of_source[s] > 0) {
      if (room[h] == 0)
        ++h;
      else
        move(s, h);
    }
}

size_t position(std::span<const int> holders, int holder) {
  return static_cast<size_t>(std::ranges::lower_bound(holders, holder) - holders.begin());
}

DispatchPlan plan_level(std::span<const int64_t> counts, const Placement& materialized,
                        const NodeMap& nodes) {
  const auto devices = at(materialized.devices()), experts = at(materialized.experts());
  const DispatchPlan nearest = plan_nearest(counts, materialized, nodes);
  HolderRows before(experts);
  for (size_t e = 0; e < experts; ++e)
    before[e].resize(materialized.holders(static_cast<int>(e)).size());
  for (int s = 0; s < nearest.devices(); ++s)
    for (int e = 0; e < nearest.experts(); ++e)
      for (const DispatchPiece& piece : nearest.pieces(s, e))
        before[at(e)][position(materialized.holders(e), piece.holder)] += piece.rows;
  HolderRows after = level_rows(before, materialized);
  // Experts whose rows stay where they are keep their pieces.
  std::vector<std::vector<int64_t>> flows(experts);
  std::vector<int64_t> left(devices);
  for (size_t e = 0; e < experts; ++e) {
    if (after[e] == before[e]) continue;
    for (size_t s = 0; s < devices; ++s) left[s] = counts[s * experts + e];
    meet_targets(left, after[e], materialized.holders(static_cast<int>(e)), nodes, flows[e]);
  }
  DispatchPlan plan(materialized.devices(), materialized.experts());
  for (int s = 0; s < plan.devices(); ++s)
    for (int e = 0; e < plan.experts(); ++e) {
      const auto holders = materialized.holders(e);
      if (flows[at(e)].empty())
        for (const DispatchPiece& piece : nearest.pieces(s, e))
          plan.add(s, piece.holder, piece.rows);
      else
        for (size_t h = 0; h < holders.size(); ++h)
          plan.add(s, holders[h], flows[at(e)][at(s) * holders.size() + h]);
      plan.close_pair();
    }
  return plan;
}

}  // namespace

DispatchPolicy dispatch_policy(const std::string& name) {
  if (name == "nearest") return DispatchPolicy::nearest;
  if (name == "level") return DispatchPolicy::level;
  throw InvalidArgument(concat("dispatch policy '", name, "' is unknown; known: nearest, level"));
}

DispatchPlan::DispatchPlan(int devices, int experts)
    : devices_(devices), experts_(experts), between_(at(devices) * at(devices)) {
  first_.reserve(at(devices) * at(experts) + 1);
  first_.push_back(0);
  pieces_.reserve(at(devices) * at(experts));
}

void DispatchPlan::add(int source, int holder, int64_t rows) {
  if (rows == 0) return;
  pieces_.push_back({holder, rows});
  between_[at(source) * at(devices_) + at(holder)] += rows;
}

int64_t DispatchPlan::rows(int source, int expert, int holder) const {
  for (const DispatchPiece& piece : pieces(source, expert))
    if (piece.holder == holder) return piece.rows;
  return 0;
}

int64_t DispatchPlan::rows_on(int holder) const {
  int64_t sum = 0;
  for (int s = 0; s < devices_; ++s) sum += rows_between(s, holder);
  return sum;
}

std::vector<int64_t> DispatchPlan::received(int holder) const {
  std::vector<int64_t> result(at(devices_) * at(experts_));
  for (size_t i = 0; i < result.size(); ++i)
    for (size_t p = first_[i]; p < first_[i + 1]; ++p)
      if (pieces_[p].holder == holder) result[i] = pieces_[p].rows;
  return result;
}

namespace {

void check_counts(std::span<const int64_t> counts, const Placement& materialized,
                  const NodeMap& nodes) {
  const auto devices = at(materialized.devices()), experts = at(materialized.experts());
  HECATE_CHECK(nodes.devices() == materialized.devices() && counts.size() == devices * experts,
               "dispatch: ", counts.size(), " counts and ", nodes.devices(),
               " devices with a node; expected ", devices, " devices x ", experts, " experts");
  for (size_t i = 0; i < counts.size(); ++i) {
    HECATE_CHECK(counts[i] >= 0, "dispatch: count ", counts[i], " of source ", i / experts,
                 ", expert ", i % experts);
    HECATE_CHECK(counts[i] == 0 || !materialized.holders(static_cast<int>(i % experts)).empty(),
                 "dispatch: expert ", i % experts, " has tokens and no holder");
  }
}

void check_copies(std::span<const int> copies, const Placement& materialized) {
  const auto devices = at(materialized.devices()), experts = at(materialized.experts());
  HECATE_CHECK(copies.empty() || copies.size() == devices * experts, "dispatch: shares of ",
               copies.size(), " holders, expected ", devices * experts);
  for (size_t i = 0; i < copies.size(); ++i)
    HECATE_CHECK((copies[i] > 0) == materialized.holds(static_cast<int>(i / devices),
                                                       static_cast<int>(i % devices)),
                 "dispatch: expert ", i / devices, " has ", copies[i], " shares on device ",
                 i % devices, ", which the placement contradicts");
}

}  // namespace

DispatchPlan plan_dispatch(std::span<const int64_t> counts, const Placement& materialized,
                           std::span<const int> node_of, DispatchPolicy policy,
                           std::span<const int> copies) {
  const NodeMap nodes(node_of);
  check_counts(counts, materialized, nodes);
  check_copies(copies, materialized);
  switch (policy) {
    case DispatchPolicy::nearest:
      return plan_nearest(counts, materialized, nodes);
    case DispatchPolicy::level:
      return plan_level(counts, materialized, nodes);
    case DispatchPolicy::even:
    case DispatchPolicy::node_even:
      break;
  }
  return plan_even(counts, materialized, nodes, policy == DispatchPolicy::node_even, copies);
}

DispatchPlan plan_dispatch_to(std::span<const int64_t> counts, const Placement& materialized,
                              std::span<const int> node_of, HolderRows targets) {
  const NodeMap nodes(node_of);
  check_counts(counts, materialized, nodes);
  const auto devices = at(materialized.devices()), experts = at(materialized.experts());
  HECATE_CHECK(targets.size() == experts, "dispatch: targets of ", targets.size(),
               " experts, expected ", experts);
  std::vector<std::vector<int64_t>> flows(experts);
  std::vector<int64_t> left(devices);
  for (size_t e = 0; e < experts; ++e) {
    const auto holders = materialized.holders(static_cast<int>(e));
    for (size_t s = 0; s < devices; ++s) left[s] = counts[s * experts + e];
    HECATE_CHECK(targets[e].size() == holders.size() &&
                     std::accumulate(left.begin(), left.end(), int64_t{0}) ==
                         std::accumulate(targets[e].begin(), targets[e].end(), int64_t{0}),
                 "dispatch: targets of expert ", e, " do not fit its tokens");
    meet_targets(left, targets[e], holders, nodes, flows[e]);
  }
  DispatchPlan plan(materialized.devices(), materialized.experts());
  for (size_t s = 0; s < devices; ++s)
    for (size_t e = 0; e < experts; ++e) {
      const auto holders = materialized.holders(static_cast<int>(e));
      for (size_t h = 0; h < holders.size(); ++h)
        plan.add(static_cast<int>(s), holders[h], flows[e][s * holders.size() + h]);
      plan.close_pair();
    }
  return plan;
}

}  // namespace hecate::sharding
