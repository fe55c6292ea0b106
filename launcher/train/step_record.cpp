#include "launcher/train/step_record.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <vector>

namespace hecate::launcher {
namespace {

using Json = nlohmann::ordered_json;

double rounded(double value, int digits) {
  if (value == 0 || !std::isfinite(value)) return value;
  const double scale = std::pow(10.0, digits - std::ceil(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

Json load_of(const models::MoeStatistics& layer, bool counts) {
  const LoadSpread spread = load_spread(layer.counts);
  Json load = {{"max_over_mean", rounded(spread.max_over_mean, 5)},
               {"entropy", rounded(spread.entropy, 5)},
               {"dropped", layer.dropped}};
  if (counts) load["counts"] = layer.counts;
  return load;
}

Json loads_of(const models::StepStatistics& statistics) {
  int64_t experts = 0;
  for (const models::MoeStatistics& layer : statistics.layers) experts += std::ssize(layer.counts);
  Json loads = Json::object();
  for (size_t layer = 0; layer < statistics.layers.size(); ++layer)
    if (!statistics.layers[layer].counts.empty())
      loads[std::to_string(layer)] =
          load_of(statistics.layers[layer], experts <= kMostExpertNumbers);
  return loads;
}

// Calls `visit` with every MoE layer's number in the model and among the MoE layers.
template <class Visit>
void for_each_moe_layer(const models::StepStatistics& statistics, const Visit& visit) {
  int64_t index = 0;
  for (size_t layer = 0; layer < statistics.layers.size(); ++layer)
    if (!statistics.layers[layer].counts.empty()) visit(std::to_string(layer), index++);
}

Json placed_of(const LayerReport& layer, int devices) {
  Json placed = {{"imbalance_at_owners", rounded(layer.imbalance_at_owners(devices), 5)},
                 {"imbalance", rounded(layer.imbalance(devices), 5)},
                 {"replicas", layer.replicas},
                 {"forecast_error", rounded(layer.forecast_error, 4)}};
  if (layer.modelled_seconds > 0) {
    placed["modelled_seconds"] = rounded(layer.modelled_seconds, 4);
    placed["bound_seconds"] = rounded(layer.bound_seconds, 4);
  }
  return placed;
}

Json placement_of(const StepRecord& record) {
  const sharding::Ownership& owners = record.sharded->owners();
  Json placement = Json::object();
  for_each_moe_layer(*record.statistics, [&](const std::string& layer, int64_t index) {
    Json holders = Json::array();
    const collectives::Placement& held = record.sharded->placement(index);
    for (int expert = 0; expert < held.experts(); ++expert)
      holders.push_back(std::vector<int>(held.holders(expert).begin(), held.holders(expert).end()));
    const auto of_layer = owners.layer(static_cast<int>(index));
    placement[layer] = {{"owners", std::vector<int>(of_layer.begin(), of_layer.end())},
                        {"holders", std::move(holders)}};
  });
  return placement;
}

Json ranks_of(std::span<const RankVitals> ranks) {
  Json compute = Json::array(), waited = Json::array(), data = Json::array(), peak = Json::array();
  for (const RankVitals& rank : ranks) {
    compute.push_back(rounded(1e-9 * static_cast<double>(rank.compute_ns), 4));
    waited.push_back(rounded(1e-9 * static_cast<double>(rank.waited_ns), 4));
    data.push_back(rounded(1e-9 * static_cast<double>(rank.data_ns), 4));
    peak.push_back(rank.peak_total_bytes);
  }
  return {{"compute_seconds", std::move(compute)},
          {"waited_seconds", std::move(waited)},
          {"data_seconds", std::move(data)},
          {"peak_bytes", std::move(peak)},
          {"slowest", slowest_rank(ranks)}};
}

Json breakdown_of(const StepResult& result) {
  Json breakdown = Json::object();
  for (size_t kind = 0; kind < graph::kOpKinds; ++kind)
    if (result.seconds_by_kind[kind] > 0)
      breakdown[std::string(graph::name_of(static_cast<graph::OpKind>(kind)))] =
          rounded(result.seconds_by_kind[kind], 4);
  breakdown["data"] = rounded(result.data_seconds, 4);
  return breakdown;
}

// Of the first rank, but for what is the same on all.
Json sharded_of(const StepRecord& record) {
  const StepResult& result = *record.result;
  const ShardedReport& report = result.sharded;
  Json layers = Json::object();
  for_each_moe_layer(*record.statistics, [&](const std::string& layer, int64_t index) {
    layers[layer] =
        placed_of(report.layers[static_cast<size_t>(index)], record.sharded->owners().devices());
  });
  Json waited = Json::object();
  for (size_t kind = 0; kind < graph::kOpKinds; ++kind)
    if (result.waited_by_kind[kind] > 0)
      waited[std::string(graph::name_of(static_cast<graph::OpKind>(kind)))] =
          rounded(result.waited_by_kind[kind], 4);
  return {{"planning_seconds", rounded(report.planning_seconds, 4)},
          {"calibrated_layers", report.calibration.layers},
          {"calibrated_copies", report.calibration.copies},
          {"rows_sent", report.exchange.rows_sent},
          {"rows_computed", report.exchange.rows_computed},
          {"busiest_link_rows", report.exchange.busiest_link_rows},
          {"busiest_rank_rows", report.exchange.busiest_rank_rows},
          {"reshard_moves", report.reshard.moves},
          {"reshard_bytes", report.reshard.bytes_moved},
          {"reshard_seconds", rounded(report.reshard_seconds, 4)},
          {"waited_seconds", std::move(waited)},
          {"layers", std::move(layers)}};
}

Json by_kind(const StepTraffic::ByKind& bytes) {
  Json result = Json::object();
  for (size_t kind = 0; kind < collectives::kTrafficKinds; ++kind)
    result[std::string(name_of(static_cast<collectives::TrafficKind>(kind)))] = bytes[kind];
  return result;
}

Json traffic_of(const StepTraffic& traffic) {
  Json links = by_kind(traffic.busiest_link_bytes);
  links["all"] = traffic.busiest_link_bytes_of_all;
  return {{"sent_bytes", by_kind(traffic.sent_bytes)},
          {"between_nodes_bytes", by_kind(traffic.between_nodes_bytes)},
          {"busiest_link_bytes", std::move(links)}};
}

void add_memory(const StepRecord& record, Json& line) {
  Json bytes = Json::object();
  for (size_t i = 0; i < kMemoryCategories; ++i)
    if (record.peak_bytes[i] > 0)
      bytes[std::string(name_of(static_cast<MemoryCategory>(i)))] = record.peak_bytes[i];
  line["peak_bytes"] = std::move(bytes);
  if (record.budget_bytes > 0) line["memory_budget_bytes"] = record.budget_bytes;
}

void add_ranks(const StepRecord& record, Json& line) {
  line["exposed_share"] = rounded(exposed_share(*record.result), 4);
  line["sharded"] = sharded_of(record);
  line["traffic"] = traffic_of(record.result->traffic);
  line["ranks"] = ranks_of(record.result->ranks);
  if (record.placement) line["placement"] = placement_of(record);
}

}  // namespace

double exposed_share(const StepResult& result) {
  return std::accumulate(result.waited_by_kind.begin(), result.waited_by_kind.end(), 0.0) /
         result.seconds;
}

LoadSpread load_spread(std::span<const int64_t> counts) {
  const auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  const auto experts = static_cast<double>(counts.size());
  double entropy = 0;
  for (int64_t count : counts)
    if (count > 0) {
      const double share = static_cast<double>(count) / total;
      entropy -= share * std::log(share);
    }
  const auto largest = static_cast<double>(*std::ranges::max_element(counts));
  return {.max_over_mean = total > 0 ? largest * experts / total : 0,
          .entropy = experts > 1 ? entropy / std::log(experts) : 1};
}

std::string step_line(const StepRecord& record) {
  const StepResult& result = *record.result;
  Json line;
  line["step"] = record.step;
  line["time"] = std::round(1e3 * record.time) / 1e3;
  line["tokens"] = record.tokens;
  line["loss"] = result.loss;  // every digit: runs are compared by it
  line["auxiliary_loss"] = rounded(result.auxiliary_loss, 6);
  line["lr"] = record.rate * record.result->rate_factor;
  line["grad_norm"] = result.gradient_norm;
  line["step_seconds"] = rounded(result.seconds, 5);
  line["tokens_per_s"] = rounded(static_cast<double>(result.tokens) / result.seconds, 5);
  if (record.peak_flops_per_s > 0)
    line["flops_utilization"] = rounded(result.flops / result.seconds / record.peak_flops_per_s, 4);
  line["breakdown"] = breakdown_of(result);
  if (record.ranks > 1) add_ranks(record, line);
  line["load"] = loads_of(*record.statistics);
  add_memory(record, line);
  if (record.saved != nullptr)
    line["checkpoint"] = {{"step", record.saved->step},
                          {"bytes", record.saved->bytes},
                          {"staging_seconds", rounded(record.saved->staging_seconds, 4)},
                          {"write_seconds", rounded(record.saved->write_seconds, 4)}};
  return line.dump();
}

std::string evaluation_line(int64_t step, int64_t tokens, const EvaluationResult& result,
                            double seconds) {
  Json line;
  line["step"] = step;
  line["tokens"] = tokens;
  line["eval_loss"] = result.loss;
  if (result.bits_per_byte > 0) line["bits_per_byte"] = result.bits_per_byte;
  line["eval_targets"] = result.targets;
  line["eval_seconds"] = rounded(seconds, 4);
  return line.dump();
}

}  // namespace hecate::launcher
