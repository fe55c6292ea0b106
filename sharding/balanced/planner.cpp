#include "sharding/balanced/planner.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/base/error.h"
#include "sharding/balanced/fill.h"
#include "sharding/balanced/search.h"
#include "sharding/materialization.h"

namespace hecate::sharding::balanced {
namespace {

using collectives::Placement;

size_t at(int i) {
  return static_cast<size_t>(i);
}

void check(const Problem& problem) {
  HECATE_CHECK(problem.model != nullptr && problem.nodes != nullptr && problem.experts() > 0 &&
                   problem.slots >= 0,
               "balanced plan: ", problem.experts(), " experts, ", problem.slots, " slots");
  HECATE_CHECK(problem.node_rows.size() == at(problem.nodes->nodes()) * problem.owner.size(),
               "balanced plan: ", problem.node_rows.size(), " counts for ", problem.nodes->nodes(),
               " nodes x ", problem.experts(), " experts");
  for (int64_t rows : problem.node_rows)
    HECATE_CHECK(rows >= 0, "balanced plan: a node sends ", rows, " rows");
  for (int d : problem.owner)
    HECATE_CHECK(d >= 0 && d < problem.nodes->devices(), "balanced plan: owner ", d, " of ",
                 problem.nodes->devices(), " devices");
}

std::vector<double> totals(const Problem& problem) {
  std::vector<double> loads(problem.owner.size());
  for (size_t i = 0; i < problem.node_rows.size(); ++i)
    loads[i % loads.size()] += static_cast<double>(problem.node_rows[i]);
  return loads;
}

int64_t enough_rows(const Problem& problem, int64_t least) {
  if (problem.model->objective == Objective::time) return least;
  return static_cast<int64_t>(std::floor(static_cast<double>(least) * kLevelEnough));
}

// Where nothing more of the gather is exposed for it.
void spend_spare(const Problem& problem, Draft& draft) {
  Draft spent = draft;
  fill_spare(problem, spent);
  const bool free = spent.collectives_time().total() <= draft.collectives_time().total();
  if (free || problem.model->objective == Objective::balance) draft = std::move(spent);
}

// How many experts to bring into every node: what the bound would, and less, for room to level.
std::vector<int> bringing(const Problem& problem) {
  const Model& model = *problem.model;
  const auto& link = model.cost.topology.between;
  const double hidden = std::min((model.hidden_gather_seconds - link.latency_s) * link.bytes_per_s /
                                     std::max(1.0, model.cost.gather_bytes),
                                 (model.hidden_reduce_seconds - link.latency_s) * link.bytes_per_s /
                                     std::max(1.0, model.cost.reduce_bytes));
  const int most = bound_chunks(problem);
  const int free = static_cast<int>(std::clamp(hidden + 1e-6, 0.0, static_cast<double>(most)));
  std::vector<int> counts = {most, most - most / 4, most / 2, free};
  std::ranges::sort(counts);
  const auto repeated = std::ranges::unique(counts);
  counts.erase(repeated.begin(), repeated.end());
  return counts;
}

class Candidates {
 public:
  explicit Candidates(const Problem& problem)
      : problem_(problem), search_(problem), best_(problem) {
    value_ = search_.weigh(best_);
  }
  void consider(Draft draft) {
    spend_spare(problem_, draft);
    const Value value = search_.weigh(draft);
    if (!search_.better(value, value_)) return;
    value_ = value;
    best_ = std::move(draft);
  }
  void improve(int64_t enough) { value_ = search_.improve(best_, kSteps, false, enough); }
  const Draft& best() const { return best_; }
  const Value& value() const { return value_; }

 private:
  const Problem& problem_;
  Search search_;
  Draft best_;
  Value value_;
};

}  // namespace

LayerPlan plan_layer(const Problem& problem, int t) {
  check(problem);
  LayerPlan plan;
  plan.bound = lower_bound(problem);
  Candidates candidates(problem);
  const auto consider = [&](auto&& fill) {
    Draft draft(problem);
    fill(draft);
    candidates.consider(std::move(draft));
  };
  if (problem.slots > 0) {
    consider([&](Draft& draft) { fill_all(problem, draft); });
    if (problem.model->objective == Objective::time && problem.nodes->nodes() > 1)
      for (int k : bringing(problem))
        consider([&](Draft& draft) { fill_nodes(problem, k, draft); });
    if (t > 0)
      candidates.consider(Draft(
          problem, materialize(Placement::from_owners(problem.owner, problem.nodes->devices()),
                               totals(problem), t, problem.slots, problem.nodes->node_of())));
    candidates.improve(enough_rows(problem, plan.bound.rows));
  }
  plan.placement = candidates.best().placement();
  plan.time = candidates.value().time;
  plan.rows = candidates.value().rows;
  return plan;
}

LayerTime layer_time(const Problem& problem, const Placement& placement,
                     const DispatchPlan& dispatch) {
  const LayerCost& cost = problem.model->cost;
  int64_t most = 0;
  for (int d = 0; d < dispatch.devices(); ++d) most = std::max(most, dispatch.rows_on(d));
  LayerTime time = Draft(problem, placement).collectives_time();
  time.compute = static_cast<double>(most) * cost.seconds_per_row;
  time.exchange =
      cost.exchanges * exchange_seconds(cost.topology, dispatch.rows_between(), cost.row_bytes);
  return time;
}

std::optional<Correction> correct(const Problem& problem, const Placement& planned, bool evict) {
  check(problem);
  const Draft before(problem, planned);
  Search search(problem, &before);
  Draft after = before;
  const Value was = search.weigh(before);
  const int64_t least = lower_bound(problem).rows;
  const int64_t enough = enough_rows(problem, least);
  const Value is = search.improve(after, kSteps, evict, enough);
  if (!search.better(is, was)) return std::nullopt;
  Correction found{.placement = after.placement()};
  for (int e = 0; e < problem.experts(); ++e) {
    for (int d : after.placement().holders(e)) found.added += planned.holds(e, d) ? 0 : 1;
    for (int d : planned.holders(e)) found.evicted += after.placement().holds(e, d) ? 0 : 1;
  }
  found.saved_seconds = was.time.compute + was.time.exchange - is.time.compute - is.time.exchange;
  found.gather_seconds = is.time.gather - was.time.gather;
  found.reduce_seconds = is.time.reduce - was.time.reduce;
  return found;
}

std::vector<int> balanced_owners(const Problem& problem) {
  check(problem);
  const NodeMap& nodes = *problem.nodes;
  std::vector<double> loads = totals(problem);
  const double mean = std::accumulate(loads.begin(), loads.end(), 0.0) / nodes.devices();
  std::vector<int> order(loads.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return loads[at(a)] > loads[at(b)]; });
  std::vector<int> free(at(nodes.devices())), node_free(at(nodes.nodes()));
  for (int d : problem.owner) {
    ++free[at(d)];
    ++node_free[at(nodes.node(d))];
  }
  std::vector<double> load(free.size()), node_load(node_free.size());
  std::vector<int> owners(loads.size());
  for (int e : order) {
    const int present = problem.owner[at(e)], home = nodes.node(present);
    int node = -1;
    for (int n = 0; n < nodes.nodes(); ++n)
      if (node_free[at(n)] > 0 && (node < 0 || node_load[at(n)] < node_load[at(node)] ||
                                   (n == home && node_load[at(n)] == node_load[at(node)])))
        node = n;
    int device = -1;
    for (int d : nodes.members(node))
      if (free[at(d)] > 0 && (device < 0 || load[at(d)] < load[at(device)] ||
                              (d == present && load[at(d)] == load[at(device)])))
        device = d;
    const double counted = std::min(loads[at(e)], mean);
    load[at(device)] += counted;
    node_load[at(node)] += counted / static_cast<double>(nodes.members(node).size());
    --free[at(device)];
    --node_free[at(node)];
    owners[at(e)] = device;
  }
  return owners;
}

}  // namespace hecate::sharding::balanced
