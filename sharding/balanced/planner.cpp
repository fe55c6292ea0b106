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

// How many experts to bring into every node: what the bound would, and less, for room to level.
std::vector<int> bringing(const Problem& problem, int most) {
  const Model& model = *problem.model;
  const auto& link = model.cost.topology.between;
  const double hidden = std::min((model.hidden_gather_seconds - link.latency_s) * link.bytes_per_s /
                                     std::max(1.0, model.cost.gather_bytes),
                                 (model.hidden_reduce_seconds - link.latency_s) * link.bytes_per_s /
                                     std::max(1.0, model.cost.reduce_bytes));
  const int free = static_cast<int>(std::clamp(hidden + 1e-6, 0.0, static_cast<double>(most)));
  std::vector<int> counts = {most, most - most / 4, most / 2, free};
  std::ranges::sort(counts);
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  return counts;
}

// Every expert's rows up or down by up to a fifth, what a forecast may well miss.
std::vector<int64_t> shaken_rows(const Problem& problem) {
  std::vector<int64_t> rows(problem.node_rows.begin(), problem.node_rows.end());
  const auto experts = problem.owner.size();
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto turn = static_cast<int64_t>((i % experts + 1) * 0x9E3779B97F4A7C15u >> 40 & 0x3FF);
    rows[i] += rows[i] * (turn - 512) / 2560;
  }
  return rows;
}

int steps_for(const Problem& problem) {
  return std::clamp(kStepWork / problem.nodes->devices(), kLeastSteps, kSteps);
}

class Candidates {
 public:
  explicit Candidates(const Problem& problem)
      : problem_(problem), search_(problem), best_(problem) {
    value_ = search_.weigh(best_);
  }
  void consider(Draft draft) {
    const Value value = search_.weigh(draft);
    if (!search_.better(value, value_)) return;
    value_ = value;
    best_ = std::move(draft);
  }
  // Candidates from now on must not be worse than the best so far on the forecast, and are chosen
  // by what they come to where the forecast misses, too.
  void shake(const Problem& shaken) {
    search_.weigh_also(shaken, value_.time.total());
    value_ = search_.weigh(best_);
  }
  // Free slots cost nothing as long as no more of the collectives is exposed.
  void spend_spare() {
    Draft spent = best_;
    fill_spare(problem_, spent);
    const Value value = search_.weigh(spent);
    if (!search_.allowed(value) || search_.better(value_, value)) return;
    value_ = value;
    best_ = std::move(spent);
  }
  void improve(int64_t enough) {
    value_ = search_.improve(best_, steps_for(problem_), false, enough);
  }
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
  // Ports are modelled from what nodes send, so the bound leaves them out as well.
  Problem by_node = problem;
  by_node.counts = {};
  plan.bound = lower_bound(by_node);
  Candidates candidates(problem);
  const auto consider = [&](auto&& fill) {
    Draft draft(problem);
    fill(draft);
    candidates.consider(std::move(draft));
  };
  std::vector<int64_t> shaken;
  Problem other = problem;
  if (problem.slots > 0) {
    if (t > 0)
      candidates.consider(Draft(
          problem, materialize(Placement::from_owners(problem.owner, problem.nodes->devices()),
                               totals(problem), t, problem.slots, problem.nodes->node_of())));
    if (problem.model->objective == Objective::time && std::ssize(problem.node_rows) <= kShaken) {
      shaken = shaken_rows(problem);
      other.node_rows = shaken;
      candidates.shake(other);
    }
    consider([&](Draft& draft) { fill_all(problem, draft); });
    if (problem.model->objective == Objective::time && problem.nodes->nodes() > 1)
      for (int k : bringing(problem, plan.bound.chunks))
        for (const bool spill : {false, true})
          if (!spill || problem.nodes->nodes() > 2)
            consider([&](Draft& draft) { fill_nodes(problem, k, spill, draft); });
    candidates.spend_spare();
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
  const Value is = search.improve(after, steps_for(problem), evict, enough);
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
