#include "launcher/train/step_metrics.h"

#include <numeric>
#include <span>
#include <string>
#include <utility>

namespace hecate::launcher {
namespace {

using collectives::kTrafficKinds;
using collectives::TrafficKind;
using Record = const StepRecord&;

// Quantities of the run that are one number each.
struct RunValue {
  MetricFamily family;
  std::optional<double> (*value)(Record);
  bool adds = false;
};

double seconds(int64_t nanoseconds) {
  return 1e-9 * static_cast<double>(nanoseconds);
}

std::optional<double> utilization(Record r) {
  if (r.peak_flops_per_s <= 0) return std::nullopt;
  return r.result->flops / r.result->seconds / r.peak_flops_per_s;
}

const RunValue kRunValues[] = {
    {{"hecate_steps_total", "Optimizer steps of the run.", MetricKind::counter},
     [](Record r) -> std::optional<double> { return r.step; }},
    {{"hecate_tokens_total", "Tokens that the run has seen.", MetricKind::counter},
     [](Record r) -> std::optional<double> { return r.tokens; }},
    {{"hecate_loss", "Training loss of the last step, nats per token."},
     [](Record r) -> std::optional<double> { return r.result->loss; }},
    {{"hecate_auxiliary_loss", "Balance and z losses of the last step, over all layers."},
     [](Record r) -> std::optional<double> { return r.result->auxiliary_loss; }},
    {{"hecate_learning_rate", "Learning rate of the last step."},
     [](Record r) -> std::optional<double> { return r.rate; }},
    {{"hecate_gradient_norm", "Norm of the gradient before clipping."},
     [](Record r) -> std::optional<double> { return r.result->gradient_norm; }},
    {{"hecate_step_seconds", "How long the last step took."},
     [](Record r) -> std::optional<double> { return r.result->seconds; }},
    {{"hecate_busy_seconds_total", "What all steps took.", MetricKind::counter},
     [](Record r) -> std::optional<double> { return r.result->seconds; },
     true},
    {{"hecate_tokens_per_second", "Tokens of the last step over its time."},
     [](Record r) -> std::optional<double> {
       return static_cast<double>(r.result->tokens) / r.result->seconds;
     }},
    {{"hecate_flops_utilization_ratio",
      "Model operations of the first rank per second over the multiply-add rate measured at "
      "start."},
     utilization},
};

// The same for runs of several ranks.
const RunValue kSharedValues[] = {
    {{"hecate_exposed_ratio",
      "Share of the step in which compute stood still for communication or the host."},
     [](Record r) -> std::optional<double> { return exposed_share(*r.result); }},
    {{"hecate_planning_seconds", "What planning placements took of the first rank's last step."},
     [](Record r) -> std::optional<double> { return r.result->sharded.planning_seconds; }},
    {{"hecate_owner_moves_total", "Experts that changed their owner.", MetricKind::counter},
     [](Record r) -> std::optional<double> { return r.result->sharded.reshard.moves; },
     true},
    {{"hecate_reshards_total", "Steps after which experts changed owners.", MetricKind::counter},
     [](Record r) -> std::optional<double> { return r.result->sharded.reshard.moves > 0 ? 1 : 0; },
     true},
    {{"hecate_slowest_rank", "Rank that computed and read data longest in the last step."},
     [](Record r) -> std::optional<double> { return slowest_rank(r.result->ranks); }},
};

constexpr MetricFamily kOperation = {
    "hecate_operation_seconds",
    "Seconds of the first rank's operations in the last step, by kind."};
constexpr MetricFamily kExposed = {"hecate_exposed_seconds",
                                   "Seconds that compute stood still for operations of a kind in "
                                   "the last step; mean of the ranks."};
constexpr MetricFamily kLoadMax = {"hecate_expert_load_max_ratio",
                                   "Choices of the layer's busiest expert over the mean."};
constexpr MetricFamily kLoadEntropy = {
    "hecate_expert_load_entropy_ratio",
    "Entropy of the layer's expert loads over the largest possible; 1: even."};
constexpr MetricFamily kRouted = {"hecate_routed_choices_total",
                                  "Choices of experts that the gate made.", MetricKind::counter};
constexpr MetricFamily kDropped = {"hecate_dropped_choices_total",
                                   "Choices that were dropped because an expert was full.",
                                   MetricKind::counter};
constexpr MetricFamily kExpert = {"hecate_expert_choices",
                                  "Choices that fell on the expert in the last step."};
constexpr MetricFamily kImbalance = {
    "hecate_device_imbalance_ratio",
    "Rows of the busiest rank over the mean: with every expert at its owner alone, and as placed."};
constexpr MetricFamily kReplicas = {"hecate_expert_replicas",
                                    "Copies of the layer's experts besides the owners'."};
constexpr MetricFamily kForecast = {
    "hecate_forecast_error_ratio",
    "Share of the layer's choices that the forecast had at other experts."};
constexpr MetricFamily kModelled = {
    "hecate_plan_modelled_seconds",
    "Exchanges and experts of the layer as planned, by the cost model."};
constexpr MetricFamily kBound = {
    "hecate_plan_bound_seconds",
    "Experts of the layer, were all ranks equally loaded, by the cost model."};
constexpr MetricFamily kSent = {
    "hecate_sent_bytes_total", "Bytes that ranks sent one another, by collective and kind of link.",
    MetricKind::counter};
constexpr MetricFamily kBusiest = {
    "hecate_busiest_link_bytes",
    "Bytes of the last step into or out of the node with most, by collective; 0 on one node."};
constexpr MetricFamily kHeartbeat = {"hecate_heartbeat_timestamp_seconds",
                                     "When the rank last ended a step."};
constexpr MetricFamily kCompute = {"hecate_rank_compute_seconds",
                                   "How long the rank computed in the last step."};
constexpr MetricFamily kWaited = {"hecate_rank_waited_seconds",
                                  "How long the rank's compute stood still in the last step."};
constexpr MetricFamily kData = {"hecate_rank_data_seconds",
                                "How long the rank read data for the last step."};
constexpr MetricFamily kMemory = {"hecate_memory_peak_bytes",
                                  "Most bytes that the rank has held, by category."};
constexpr MetricFamily kMemoryAll = {"hecate_memory_peak_total_bytes",
                                     "Most bytes that the rank has held of its budget."};
constexpr MetricFamily kBudget = {"hecate_memory_budget_bytes",
                                  "What the rank may hold of all categories (device.memory_gib)."};

}  // namespace

void StepMetrics::bind(const MetricFamily& family, const MetricLabels& labels, Value value) {
  bound_.push_back({sink_->series(family, labels), std::move(value), false, false});
}

void StepMetrics::bind_sum(const MetricFamily& family, const MetricLabels& labels, Value value) {
  bound_.push_back({sink_->series(family, labels), std::move(value), true, false});
}

void StepMetrics::write(const StepRecord& record) {
  if (bound_.empty()) {
    if (options_.rank == 0) bind_run(record);
    for (size_t rank = 0; rank < record.result->ranks.size(); ++rank)
      if (!options_.own_rank_only || static_cast<int>(rank) == options_.rank) bind_rank(rank);
  }
  for (Bound& each : bound_) {
    const std::optional<double> value = each.value(record);
    if (!value && !each.seen) continue;
    each.seen = true;
    each.adds ? sink_->add(each.series, value.value_or(0))
              : sink_->set(each.series, value.value_or(0));
  }
  sink_->publish();
}

void StepMetrics::bind_run(const StepRecord& first) {
  const auto bind_all = [&](std::span<const RunValue> values) {
    for (const RunValue& each : values)
      each.adds ? bind_sum(each.family, {}, each.value) : bind(each.family, {}, each.value);
  };
  bind_all(kRunValues);
  bind_operations();
  bind_layers(first);
  if (first.ranks == 1) return;
  bind_all(kSharedValues);
  bind_traffic();
}

// What a run never does has no series.
void StepMetrics::bind_operations() {
  bind(kOperation, {{"kind", "data"}}, [](Record r) { return r.result->data_seconds; });
  for (size_t kind = 0; kind < graph::kOpKinds; ++kind) {
    const MetricLabels label = {{"kind", std::string(name_of(static_cast<graph::OpKind>(kind)))}};
    const auto some = [kind](const auto& of, Record r) -> std::optional<double> {
      const double value = ((*r.result).*of)[kind];
      return value > 0 ? std::optional(value) : std::nullopt;
    };
    bind(kOperation, label, [some](Record r) { return some(&StepResult::seconds_by_kind, r); });
    bind(kExposed, label, [some](Record r) { return some(&StepResult::waited_by_kind, r); });
  }
}

void StepMetrics::bind_layers(const StepRecord& first) {
  const auto& layers = first.statistics->layers;
  size_t index = 0;
  for (size_t number = 0; number < layers.size(); ++number) {
    if (layers[number].counts.empty()) continue;
    const std::string layer = std::to_string(number);
    const MetricLabels label = {{"layer", layer}};
    const auto counts = [number](Record r) -> const std::vector<int64_t>& {
      return r.statistics->layers[number].counts;
    };
    bind(kLoadMax, label, [counts](Record r) { return load_spread(counts(r)).max_over_mean; });
    bind(kLoadEntropy, label, [counts](Record r) { return load_spread(counts(r)).entropy; });
    bind_sum(kRouted, label, [counts](Record r) {
      return std::accumulate(counts(r).begin(), counts(r).end(), 0.0);
    });
    bind_sum(kDropped, label, [number](Record r) { return r.statistics->layers[number].dropped; });
    if (options_.per_expert) bind_experts(layer, number, layers[number].counts.size());
    if (first.ranks > 1) bind_placement(layer, index);
    ++index;
  }
}

void StepMetrics::bind_experts(const std::string& layer, size_t number, size_t experts) {
  for (size_t expert = 0; expert < experts; ++expert)
    bind(kExpert, {{"layer", layer}, {"expert", std::to_string(expert)}}, [=](Record r) {
      return static_cast<double>(r.statistics->layers[number].counts[expert]);
    });
}

void StepMetrics::bind_placement(const std::string& layer, size_t index) {
  const MetricLabels label = {{"layer", layer}};
  const auto report = [index](Record r) -> const LayerReport& {
    return r.result->sharded.layers[index];
  };
  const auto devices = [](Record r) { return r.sharded->owners().devices(); };
  bind(kImbalance, {{"layer", layer}, {"placement", "owners"}},
       [=](Record r) { return report(r).imbalance_at_owners(devices(r)); });
  bind(kImbalance, {{"layer", layer}, {"placement", "materialized"}},
       [=](Record r) { return report(r).imbalance(devices(r)); });
  bind(kReplicas, label, [=](Record r) { return report(r).replicas; });
  bind(kForecast, label, [=](Record r) { return report(r).forecast_error; });
  const auto known = [](double value) { return value > 0 ? std::optional(value) : std::nullopt; };
  bind(kModelled, label, [=](Record r) { return known(report(r).modelled_seconds); });
  bind(kBound, label, [=](Record r) { return known(report(r).bound_seconds); });
}

void StepMetrics::bind_traffic() {
  for (size_t kind = 0; kind < kTrafficKinds; ++kind) {
    const std::string name(name_of(static_cast<TrafficKind>(kind)));
    bind_sum(kSent, {{"collective", name}, {"link", "network"}},
             [kind](Record r) { return r.result->traffic.between_nodes_bytes[kind]; });
    bind_sum(kSent, {{"collective", name}, {"link", "node"}}, [kind](Record r) {
      return r.result->traffic.sent_bytes[kind] - r.result->traffic.between_nodes_bytes[kind];
    });
    bind(kBusiest, {{"collective", name}},
         [kind](Record r) { return r.result->traffic.busiest_link_bytes[kind]; });
  }
}

void StepMetrics::bind_rank(size_t rank) {
  const MetricLabels label = {{"rank", std::to_string(rank)}};
  const auto vitals = [rank](Record r) -> const RankVitals& { return r.result->ranks[rank]; };
  bind(kHeartbeat, label, [](Record r) { return r.time; });
  bind(kCompute, label, [=](Record r) { return seconds(vitals(r).compute_ns); });
  bind(kWaited, label, [=](Record r) { return seconds(vitals(r).waited_ns); });
  bind(kData, label, [=](Record r) { return seconds(vitals(r).data_ns); });
  for (size_t category = 0; category < kMemoryCategories; ++category)
    bind(kMemory,
         {{"rank", label.front().value},
          {"category", std::string(name_of(static_cast<MemoryCategory>(category)))}},
         [=](Record r) { return static_cast<double>(vitals(r).peak_bytes[category]); });
  bind(kMemoryAll, label,
       [=](Record r) { return static_cast<double>(vitals(r).peak_total_bytes); });
  bind(kBudget, label, [](Record r) {
    return r.budget_bytes > 0 ? std::optional<double>(r.budget_bytes) : std::nullopt;
  });
}

}  // namespace hecate::launcher
