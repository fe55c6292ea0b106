#include "sharding/strategies/sparse.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/base/error.h"
#include "sharding/materialization.h"

namespace hecate::sharding {

using collectives::Placement;

Sparse::Sparse(StrategyInputs inputs, bool release)
    : Strategy(std::move(inputs)), release_(release) {
  HECATE_CHECK(!this->inputs().calibrate || this->inputs().cost.has_value(), "strategy ", name(),
               ": calibration needs the layer's cost");
}

std::vector<Placement> Sparse::plan_step(const Ownership& owners, const LoadTracker& loads) {
  std::vector<Placement> plan;
  for (int l = 0; l < owners.layers(); ++l)
    plan.push_back(materialize(owners.placement(l), loads.forecast(l), inputs().overlap_degree,
                               inputs().memory_capacity, inputs().node_of));
  return plan;
}

int Sparse::slots() const {
  const int most = std::min(inputs().memory_capacity, inputs().experts);
  return inputs().calibrate ? most : std::min(most, inputs().overlap_degree);
}

std::optional<Placement> Sparse::plan_after_gate(int layer, const Ownership& owners,
                                                 const Placement& materialized,
                                                 std::span<const int64_t> counts) {
  if (!inputs().calibrate) return std::nullopt;
  const Placement owner = owners.placement(layer);
  std::vector<int> free_slots;
  for (int d = 0; d < inputs().devices(); ++d)
    free_slots.push_back(
        std::max(0, inputs().memory_capacity - (materialized.held_by(d) - owner.held_by(d))));
  auto found = calibrate({.owners = &owner,
                          .materialized = &materialized,
                          .counts = counts,
                          .t = inputs().overlap_degree,
                          .free_slots = free_slots,
                          .dispatch = inputs().dispatch},
                         *inputs().cost);
  if (!found) return std::nullopt;
  return std::move(found->placement);
}

bool Sparse::moves_owners(int64_t step) const {
  return inputs().reshard_interval > 0 && step > 0 && step % inputs().reshard_interval == 0;
}

std::optional<Ownership> Sparse::next_owners(int64_t step, const Ownership& owners,
                                             const LoadTracker& loads) {
  if (!moves_owners(step) || loads.recorded() == 0) return std::nullopt;
  std::vector<std::vector<double>> forecasts;
  for (int l = 0; l < owners.layers(); ++l) forecasts.push_back(loads.forecast(l));
  Ownership next = reshard(forecasts, inputs().overlap_degree, inputs().node_of, &owners);
  if (next == owners || !pays(owners, next, loads)) return std::nullopt;
  return next;
}

bool Sparse::pays(const Ownership& before, const Ownership& after, const LoadTracker& loads) const {
  if (!inputs().cost || inputs().cost->state_bytes == 0) return true;
  const double saved = step_seconds(before, loads) - step_seconds(after, loads);
  return saved * inputs().reshard_interval > move_seconds(*inputs().cost, moves(before, after));
}

// Of all MoE layers, were the next step's loads as forecast and its tokens as many as the last's.
double Sparse::step_seconds(const Ownership& owners, const LoadTracker& loads) const {
  double seconds = 0;
  for (int l = 0; l < owners.layers(); ++l) {
    const auto materialized =
        materialize(owners.placement(l), loads.forecast(l), inputs().overlap_degree,
                    inputs().memory_capacity, inputs().node_of);
    const auto last = loads.history().back().layer(l);
    const std::vector<double> forecast = loads.forecast_by_source(l);
    const double sum = std::accumulate(forecast.begin(), forecast.end(), 0.0);
    const double scale = sum > 0 ? std::accumulate(last.begin(), last.end(), 0.0) / sum : 0.0;
    std::vector<int64_t> counts;
    for (double load : forecast) counts.push_back(std::llround(load * scale));
    seconds += layer_seconds(
        *inputs().cost, plan_dispatch(counts, materialized, inputs().node_of, inputs().dispatch));
  }
  return seconds;
}

}  // namespace hecate::sharding
