#include "launcher/train/layer_report.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "sharding/balanced/planner.h"

namespace hecate::launcher {
namespace {

double over_mean(int64_t most, int64_t rows, int devices) {
  return rows > 0 ? static_cast<double>(most) * devices / static_cast<double>(rows) : 0;
}

}  // namespace

void LayerReport::add(const LayerUse& use) {
  std::vector<int64_t> at_owners(static_cast<size_t>(use.devices), 0);
  for (size_t i = 0; i < use.kept.size(); ++i)
    at_owners[static_cast<size_t>(use.owner[i % use.owner.size()])] += use.kept[i];
  const int64_t total = std::accumulate(at_owners.begin(), at_owners.end(), int64_t{0});
  rows += total;
  busiest_owner_rows += *std::ranges::max_element(at_owners);
  int64_t most = 0;
  for (int device = 0; device < use.devices; ++device)
    most = std::max(most, use.plan->rows_on(device));
  busiest_rank_rows += most;
  replicas = -std::ssize(use.owner);
  for (int expert = 0; expert < use.placement->experts(); ++expert)
    replicas += std::ssize(use.placement->holders(expert));
  if (use.cost == nullptr) return;
  if (use.strategy != nullptr && use.strategy->inputs().balanced_model) {
    const sharding::StrategyInputs& inputs = use.strategy->inputs();
    const sharding::NodeMap nodes(inputs.node_of);
    const auto sent =
        sharding::balanced::rows_by_node(use.kept, static_cast<int>(use.owner.size()), nodes);
    const sharding::balanced::Problem problem{.model = &*inputs.balanced_model,
                                              .nodes = &nodes,
                                              .owner = use.owner,
                                              .node_rows = sent,
                                              .counts = use.kept,
                                              .slots = use.strategy->slots()};
    modelled_seconds += sharding::balanced::layer_time(problem, *use.placement, *use.plan).total();
    bound_seconds += sharding::balanced::lower_bound(problem).seconds;
    return;
  }
  modelled_seconds += sharding::layer_seconds(*use.cost, *use.plan);
  bound_seconds += use.cost->seconds_per_row * static_cast<double>(total) / use.devices;
}

double LayerReport::imbalance_at_owners(int devices) const {
  return over_mean(busiest_owner_rows, rows, devices);
}

double LayerReport::imbalance(int devices) const {
  return over_mean(busiest_rank_rows, rows, devices);
}

double forecast_error(std::span<const double> forecast, std::span<const int64_t> counts) {
  std::vector<double> actual(forecast.size(), 0);
  for (size_t i = 0; i < counts.size(); ++i)
    actual[i % actual.size()] += static_cast<double>(counts[i]);
  const double expected_sum = std::accumulate(forecast.begin(), forecast.end(), 0.0);
  const double actual_sum = std::accumulate(actual.begin(), actual.end(), 0.0);
  if (expected_sum <= 0 || actual_sum <= 0) return 0;
  double difference = 0;
  for (size_t e = 0; e < actual.size(); ++e)
    difference += std::abs(forecast[e] / expected_sum - actual[e] / actual_sum);
  return difference / 2;
}

}  // namespace hecate::launcher
