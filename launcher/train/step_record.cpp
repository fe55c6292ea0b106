#include "launcher/train/step_record.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

namespace hecate::launcher {
namespace {

using Json = nlohmann::ordered_json;

double rounded(double value, int digits) {
  if (value == 0 || !std::isfinite(value)) return value;
  const double scale = std::pow(10.0, digits - std::ceil(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

Json load_of(const models::MoeStatistics& layer) {
  const auto total =
      static_cast<double>(std::accumulate(layer.counts.begin(), layer.counts.end(), int64_t{0}));
  const auto experts = static_cast<double>(layer.counts.size());
  double entropy = 0;
  for (int64_t count : layer.counts)
    if (count > 0) {
      const double share = static_cast<double>(count) / total;
      entropy -= share * std::log(share);
    }
  const auto largest = static_cast<double>(*std::ranges::max_element(layer.counts));
  return {{"max_over_mean", rounded(total > 0 ? largest * experts / total : 0, 5)},
          {"entropy", rounded(experts > 1 ? entropy / std::log(experts) : 1, 5)},
          {"dropped", layer.dropped}};
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
Json sharded_of(const StepResult& result) {
  const ShardedReport& report = result.sharded;
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
          {"waited_seconds", std::move(waited)}};
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
  return {{"sent_bytes", by_kind(traffic.sent_bytes)}, {"busiest_link_bytes", std::move(links)}};
}

}  // namespace

std::string step_line(const StepRecord& record) {
  const StepResult& result = *record.result;
  Json line;
  line["step"] = record.step;
  line["tokens"] = record.tokens;
  line["loss"] = result.loss;  // every digit: runs are compared by it
  line["auxiliary_loss"] = rounded(result.auxiliary_loss, 6);
  line["lr"] = record.rate;
  line["grad_norm"] = result.gradient_norm;
  line["step_seconds"] = rounded(result.seconds, 5);
  line["tokens_per_s"] = rounded(static_cast<double>(result.tokens) / result.seconds, 5);
  if (record.peak_flops_per_s > 0)
    line["flops_utilization"] = rounded(result.flops / result.seconds / record.peak_flops_per_s, 4);
  line["breakdown"] = breakdown_of(result);
  if (record.ranks > 1) {
    line["sharded"] = sharded_of(result);
    line["traffic"] = traffic_of(result.traffic);
  }
  Json load = Json::object();
  for (size_t layer = 0; layer < record.statistics->layers.size(); ++layer)
    if (!record.statistics->layers[layer].counts.empty())
      load[std::to_string(layer)] = load_of(record.statistics->layers[layer]);
  line["load"] = std::move(load);
  Json bytes = Json::object();
  for (size_t i = 0; i < kMemoryCategories; ++i)
    if (record.peak_bytes[i] > 0)
      bytes[std::string(name_of(static_cast<MemoryCategory>(i)))] = record.peak_bytes[i];
  line["peak_bytes"] = std::move(bytes);
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
