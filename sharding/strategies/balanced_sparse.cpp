#include "sharding/strategies/balanced_sparse.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/base/error.h"
#include "sharding/balanced/planner.h"

namespace hecate::sharding {

using collectives::Placement;

BalancedSparse::BalancedSparse(StrategyInputs inputs, bool release)
    : Strategy(std::move(inputs)), release_(release), nodes_(this->inputs().node_of) {
  HECATE_CHECK(this->inputs().balanced_model.has_value(), "strategy ", name(),
               ": planner balanced needs the layer's cost");
}

int BalancedSparse::slots() const {
  return inputs().devices() > 1 ? std::min(inputs().memory_capacity, inputs().experts) : 0;
}

balanced::Problem BalancedSparse::problem(std::span<const int> owners,
                                          std::span<const int64_t> rows) const {
  return {.model = &*inputs().balanced_model,
          .nodes = &nodes_,
          .owner = owners,
          .node_rows = rows,
          .slots = slots()};
}

// As many rows as the last step had, distributed as forecast.
std::vector<int64_t> BalancedSparse::forecast_rows(const LoadTracker& loads, int layer) const {
  const std::vector<double> forecast = loads.forecast_by_source(layer);
  const double sum = std::accumulate(forecast.begin(), forecast.end(), 0.0);
  double rows = sum;
  if (loads.recorded() > 0) {
    const auto last = loads.history().back().layer(layer);
    rows = std::accumulate(last.begin(), last.end(), 0.0);
  }
  std::vector<int64_t> counts(forecast.size());
  for (size_t i = 0; i < counts.size(); ++i)
    counts[i] = sum > 0 ? std::llround(forecast[i] * rows / sum) : 0;
  return balanced::rows_by_node(counts, inputs().experts, nodes_);
}

std::vector<Placement> BalancedSparse::plan_step(const Ownership& owners,
                                                 const LoadTracker& loads) {
  std::vector<Placement> plan;
  for (int l = 0; l < owners.layers(); ++l) {
    const std::vector<int64_t> rows = forecast_rows(loads, l);
    balanced::Problem layer = problem(owners.layer(l), rows);
    if (inputs().calibrate) layer.slots = (layer.slots + 1) / 2;  // the rest is for what it misses
    plan.push_back(balanced::plan_layer(layer, inputs().overlap_degree).placement);
  }
  return plan;
}

std::optional<Placement> BalancedSparse::plan_after_gate(int layer, const Ownership& owners,
                                                         const Placement& materialized,
                                                         std::span<const int64_t> counts) {
  if (!inputs().calibrate) return std::nullopt;
  const std::vector<int64_t> rows = balanced::rows_by_node(counts, inputs().experts, nodes_);
  auto found = balanced::correct(problem(owners.layer(layer), rows), materialized, false);
  if (!found) return std::nullopt;
  return std::move(found->placement);
}

HolderRows BalancedSparse::split_rows(std::span<const int64_t> counts, std::span<const int> owners,
                                      const Placement& materialized) {
  const std::vector<int64_t> rows = balanced::rows_by_node(counts, inputs().experts, nodes_);
  const balanced::Problem truth = problem(owners, rows);
  split_.split(truth, materialized);
  return balanced::holder_rows(split_, materialized);
}

bool BalancedSparse::moves_owners(int64_t step) const {
  return inputs().reshard_interval > 0 && step > 0 && step % inputs().reshard_interval == 0;
}

std::optional<Ownership> BalancedSparse::next_owners(int64_t step, const Ownership& owners,
                                                     const LoadTracker& loads) {
  if (!moves_owners(step) || loads.recorded() == 0) return std::nullopt;
  std::vector<int> next(owners.all().begin(), owners.all().end());
  const balanced::Objective objective = inputs().balanced_model->objective;
  double saved = 0;
  for (int l = 0; l < owners.layers(); ++l) {
    const std::vector<int64_t> rows = forecast_rows(loads, l);
    const balanced::Problem before = problem(owners.layer(l), rows);
    const std::vector<int> traded = balanced::balanced_owners(before);
    if (std::ranges::equal(traded, before.owner)) continue;
    const auto now = balanced::plan_layer(before, inputs().overlap_degree);
    const auto then = balanced::plan_layer(problem(traded, rows), inputs().overlap_degree);
    if (then.cost(objective) >= now.cost(objective)) continue;
    saved += now.time.total() - then.time.total();
    std::ranges::copy(traded, next.begin() + int64_t{l} * owners.experts());
  }
  Ownership after(owners.layers(), owners.experts(), owners.devices(), next);
  if (after == owners) return std::nullopt;
  const LayerCost& cost = inputs().balanced_model->cost;
  const bool pays = cost.state_bytes == 0 || objective == balanced::Objective::balance ||
                    saved * inputs().reshard_interval > move_seconds(cost, moves(owners, after));
  return pays ? std::optional(std::move(after)) : std::nullopt;
}

}  // namespace hecate::sharding
