#include "launcher/train/prediction.h"

#include <algorithm>

#include "collectives/imagined.h"
#include "launcher/train/setup.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

enum class Recorded : bool { ignored, read };  // loads of router.source = replay

Engine make_engine(const RunConfig& config, const PlanInputs& inputs, int rank, Recorded loads) {
  Job job;
  if (inputs.topology.ranks() > 1) job = Job(collectives::imagine(rank, inputs.topology.node_of));
  EngineOptions options = engine_options(config, job, inputs);
  options.dry = true;
  if (loads == Recorded::ignored) options.router.source = "even";
  return Engine(options);
}

int64_t budget_of(const RunConfig& config) {
  return static_cast<int64_t>(config.device.memory_gib * (1ll << 30));
}

int64_t bytes_with(const RunConfig& config, PlanInputs inputs, int capacity, double load_factor) {
  inputs.memory_capacity = capacity;
  return total(predict_memory(config, inputs, 0, load_factor));
}

}  // namespace

Engine imagined_engine(const RunConfig& config, const PlanInputs& inputs, int rank) {
  return make_engine(config, inputs, rank, Recorded::ignored);
}

MemoryBytes predict_memory(const RunConfig& config, const PlanInputs& inputs, int rank,
                           double load_factor) {
  return imagined_engine(config, inputs, rank).predicted_bytes(load_factor);
}

std::vector<std::string> settings_that_fit(const RunConfig& config, const PlanInputs& inputs,
                                           double load_factor) {
  std::vector<std::string> fitting;
  const auto offer = [&](const std::string& text, const RunConfig& changed) {
    const int64_t bytes = bytes_with(changed, inputs, inputs.memory_capacity, load_factor);
    if (bytes <= budget_of(config)) fitting.push_back(concat(text, " (", bytes, " bytes)"));
  };
  RunConfig changed = config;
  if (config.strategy == "auto" || config.strategy == "fssdp") {
    changed.strategy = "fssdp-rm";
    offer("strategy=fssdp-rm", changed);
  }
  changed = config;
  changed.model.recompute = "all";
  offer("model.recompute=all", changed);
  changed = config;
  changed.train.micro_batch = 1;
  offer("train.micro_batch=1", changed);
  changed.model.recompute = "all";
  offer("train.micro_batch=1 model.recompute=all", changed);
  return fitting;
}

int fitting_capacity(const RunConfig& config, const PlanInputs& inputs, double load_factor) {
  // What the forecast gathers, and as much again where the gate may correct it.
  const int t = inputs.overlap_degree;
  const int most = config.fssdp.calibrate || config.planner == "balanced"
                       ? std::min(2 * t, static_cast<int>(config.model.experts))
                       : t;
  if (config.device.memory_gib <= 0) return most;
  const int64_t none = bytes_with(config, inputs, 0, load_factor);
  PlanInputs without = inputs;
  without.memory_capacity = 0;
  if (none > budget_of(config)) {
    std::string hint;
    for (const std::string& each : settings_that_fit(config, without, load_factor))
      hint += "; fits: " + each;
    throw InvalidArgument(
        concat("device.memory_gib = ", config.device.memory_gib,
               ": a rank's own experts, dense parameters and activations need ", none, " bytes, ",
               none - budget_of(config), " more than the budget",
               hint.empty() ? "; more ranks or a smaller model would fit" : hint));
  }
  if (t == 0) return 0;
  const int64_t copy = bytes_with(config, inputs, 1, load_factor) - none;
  if (copy <= 0) return most;
  return static_cast<int>(std::min<int64_t>(most, (budget_of(config) - none) / copy));
}

void check_trainable(const RunConfig& config, const Job& job) {
  const collectives::Link any{.bytes_per_s = 1e9, .latency_s = 1e-6};
  const std::span<const int> nodes = job.world().nodes();
  mesh_of(config, nodes);
  PlanInputs inputs;
  inputs.topology = {.node_of = {nodes.begin(), nodes.end()}, .inside = any, .between = any};
  inputs.expert_flops_per_s = 1e9;  // what it will be does not matter to whether it fits
  make_engine(config, inputs, job.rank(), Recorded::read);
  fitting_capacity(config, inputs);
}

StepFlops predict_flops(const RunConfig& config, const PlanInputs& inputs) {
  const Engine engine = imagined_engine(config, inputs, 0);
  const graph::StepGraph& graph = engine.step_executor().graph();
  StepFlops flops;
  for (const graph::Op& op : graph.ops()) {
    double work = op.cost.flops;
    if (op.cost.rows.valid())
      work += op.cost.flops_per_row *
              static_cast<double>(graph.expected_rows()[static_cast<size_t>(op.cost.rows.index)]);
    flops.step += work;
    const bool expert = op.cost.rows.valid();
    if (expert) flops.experts += work;
    if (op.layer < 0 || expert) continue;
    (op.backward ? flops.layer_backward : flops.layer_forward) += work;
  }
  const auto layers = static_cast<double>(std::max<int64_t>(1, config.model.layers));
  const int64_t at_once = config.train.sequences_at_once(inputs.topology.ranks()) *
                          std::max(1, inputs.topology.ranks());
  const int64_t whole_micro_batches = config.train.global_batch / at_once;
  const auto micro_batches = static_cast<double>(whole_micro_batches);
  flops.layer_forward /= layers;
  flops.layer_backward /= layers;
  flops.step *= micro_batches;
  flops.experts *= micro_batches;
  return flops;
}

}  // namespace hecate::launcher
