#include "launcher/train/plan_inputs.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "collectives/cluster_config.h"
#include "launcher/train/device.h"
#include "launcher/train/prediction.h"
#include "launcher/train/setup.h"
#include "models/storage.h"
#include "models/transformer.h"
#include "runtime/base/nearest_divisors.h"
#include "runtime/io/file.h"
#include "sharding/overlap.h"
#include "sharding/strategy.h"

namespace hecate::launcher {
namespace {

constexpr int kLayerRuns = 3;

// A model of one layer whose feed-forward part and vocabulary cost next to nothing.
models::ModelConfig one_layer(models::ModelConfig model) {
  model.layers = 1;
  model.moe_layers = "none";
  model.dense_hidden = 16;
  model.vocabulary = 64;
  model.recompute = "none";
  return model;
}

LayerSeconds layer_seconds_of(const graph::Executor& executor) {
  LayerSeconds seconds;
  for (size_t i = 0; i < executor.graph().ops().size(); ++i) {
    const graph::Op& op = executor.graph().ops()[i];
    if (op.layer != 0) continue;
    const graph::OpTiming& timing = executor.timings()[i];
    (op.backward ? seconds.backward : seconds.forward) +=
        1e-9 * static_cast<double>(timing.end - timing.begin);
  }
  return seconds;
}

// Flops of the experts' products over the time of all that runs once per row of an expert.
double expert_rate_of(const graph::Executor& executor) {
  double flops = 0, seconds = 0;
  for (size_t i = 0; i < executor.graph().ops().size(); ++i) {
    const graph::Op& op = executor.graph().ops()[i];
    const bool product = op.kind == graph::OpKind::expert_gemm;
    if (!op.cost.rows.valid() || !(product || op.kind == graph::OpKind::elementwise)) continue;
    const graph::OpTiming& timing = executor.timings()[i];
    seconds += 1e-9 * static_cast<double>(timing.end - timing.begin);
    if (product)
      flops += op.cost.flops_per_row *
               static_cast<double>(executor.rows()[static_cast<size_t>(op.cost.rows.index)]);
  }
  return flops / std::max(seconds, 1e-9);
}

// Trains a model of one layer a few times on rows of one token. @param visit after each run.
template <class Visit>
void run_layer(const RunConfig& config, const models::ModelConfig& model,
               const models::RouterConfig& router, const models::BatchShape& batch, int threads,
               const Visit& visit) {
  const models::ParameterLayout layout(model);
  const DeviceKind device = device_kind(config.device);
  MemoryLedger ledger(0, false, device);
  const double pace = config.device.kind == "paced" ? 1e9 * config.device.pace_gflops : 0;
  graph::LaneSet lanes(threads, false, device);
  models::LocalStorage storage(layout, ledger, true);
  models::ModelState state;
  state.parameters = storage.table();
  models::initialize(static_cast<uint64_t>(config.seed), storage);
  const models::TransformerGraph graph(model, router, layout, state, batch,
                                       models::GraphMode::train, false);
  graph::Executor executor(graph.graph(), lanes, ledger, {.pace_flops_per_s = pace});
  graph.bind_constants(executor);
  std::vector<int32_t> ids(static_cast<size_t>(batch.tokens()), 1);
  executor.bind_host(graph.inputs().tokens, ids.data());
  executor.bind_host(graph.inputs().targets, ids.data());
  for (int run = 0; run < kLayerRuns; ++run) {
    executor.run();
    visit(executor);
  }
}

double expert_elements(const models::ModelConfig& model) {
  return static_cast<double>((model.gated() ? 3 : 2) * model.d_model * model.expert_hidden);
}

sharding::OverlapDegree overlap_of(const RunConfig& config, const PlanInputs& inputs) {
  const double elements = expert_elements(config.model);
  sharding::OverlapInputs overlap;
  overlap.topology = domain_topology(config, inputs.topology);
  overlap.forward_seconds = inputs.forward_seconds;
  overlap.backward_seconds = inputs.backward_seconds;
  overlap.gather_bytes = elements * (config.fssdp.gather_dtype == "bf16" ? 2 : sizeof(Real));
  overlap.reduce_bytes = elements * sizeof(Real);
  overlap.gathers_in_backward = config.strategy == "fssdp-rm";
  return sharding::overlap_degree(sharding::quantised(overlap),
                                  static_cast<int>(config.model.experts));
}

bool needs_expert_rate(const RunConfig& config) {
  if (config.fssdp.expert_gflops > 0 || config.model.expert_layers().empty()) return false;
  if (sharding::strategy_needs_cost(config.strategy) || config.planner == "balanced") return true;
  const bool plans =
      config.strategy == "auto" || config.strategy == "fssdp" || config.strategy == "fssdp-rm";
  return plans && (config.fssdp.calibrate || config.fssdp.reshard_every > 0);
}

PlanInputs measure(const RunConfig& config, const Job& job) {
  PlanInputs inputs;
  inputs.topology = collectives::cluster_topology(job.world(), config.cluster);
  const int threads = compute_threads(config.device, job);
  job.barrier();
  if (needs_expert_rate(config))
    inputs.expert_flops_per_s =
        sharding::two_digits(1 / job.largest(1 / measure_expert_rate(config, threads)));
  if (config.fssdp.overlap_degree >= 0) return inputs;
  const LayerSeconds seconds = measure_layer_seconds(config, threads, job.ranks());
  inputs.forward_seconds = job.largest(seconds.forward);
  inputs.backward_seconds = job.largest(seconds.backward);
  return inputs;
}

// Values that the configuration gives win.
void decide(const RunConfig& config, PlanInputs& inputs) {
  inputs.overlap_degree = config.fssdp.overlap_degree >= 0
                              ? static_cast<int>(config.fssdp.overlap_degree)
                              : overlap_degree_of(config, inputs);
  inputs.memory_capacity = config.fssdp.memory_capacity >= 0
                               ? static_cast<int>(config.fssdp.memory_capacity)
                               : fitting_capacity(config, inputs);
}

bool describes(const PlanInputs& inputs, const Job& job) {
  return std::ranges::equal(inputs.topology.node_of, job.world().nodes());
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

collectives::Mesh mesh_of(const RunConfig& config, std::span<const int> node_of) {
  const int64_t per_node = config.cluster.ranks_per_node, ranks = std::ssize(node_of);
  HECATE_CHECK(per_node == 0 || ranks % per_node == 0, "cluster.ranks_per_node = ", per_node,
               ": does not divide ", ranks,
               " ranks; nearest valid: ", nearest_divisors(ranks, per_node),
               ", or 0 for the nodes that the launcher filled");
  try {
    return collectives::Mesh::make(node_of, {}, collectives::parse_domain(config.fssdp.domain));
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(concat("fssdp.domain = ", config.fssdp.domain, ": ", error.what()));
  }
}

collectives::Topology domain_topology(const RunConfig& config,
                                      const collectives::Topology& topology) {
  return collectives::topology_of(topology, mesh_of(config, topology.node_of).domain_ranks(0));
}

double expert_row_flops(const models::ModelConfig& model, bool recomputes) {
  return (recomputes ? 8.0 : 6.0) * expert_elements(model);
}

int overlap_degree_of(const RunConfig& config, const PlanInputs& inputs) {
  return overlap_of(config, inputs).t();
}

double exposed_reduction(const RunConfig& config, const PlanInputs& inputs) {
  const int t = inputs.overlap_degree;
  if (t == 0) return 1;
  const double spare = (overlap_of(config, inputs).backward - t) / static_cast<double>(t);
  return std::clamp(1 - spare, 0.0, 1.0);
}

LayerSeconds measure_layer_seconds(const RunConfig& config, int threads, int64_t ranks) {
  LayerSeconds least{.forward = std::numeric_limits<double>::infinity(),
                     .backward = std::numeric_limits<double>::infinity()};
  run_layer(config, one_layer(config.model), config.router,
            {.sequences = config.train.sequences_at_once(ranks), .sequence = config.model.sequence},
            threads, [&](const graph::Executor& executor) {
              const LayerSeconds seconds = layer_seconds_of(executor);
              least.forward = std::min(least.forward, seconds.forward);
              least.backward = std::min(least.backward, seconds.backward);
            });
  return least;
}

double measure_expert_rate(const RunConfig& config, int threads) {
  models::ModelConfig model = one_layer(config.model);
  model.moe_layers = "all";
  model.experts = model.top_k;
  model.shared_experts = 0;
  double best = 0;
  run_layer(
      config, model, {}, {.sequences = 1, .sequence = model.sequence}, threads,
      [&](const graph::Executor& executor) { best = std::max(best, expert_rate_of(executor)); });
  return best;
}

PlanInputs resolve_plan_inputs(const RunConfig& config, const Job& job,
                               const std::filesystem::path& file) {
  PlanInputs inputs;
  const std::string kept = job.share(job.first() ? read_text(file) : std::string());
  if (!kept.empty()) inputs = plan_inputs_from_text(kept);
  const bool fresh = kept.empty() || !describes(inputs, job);
  if (fresh) {
    inputs = measure(config, job);
    job.agree([&] { decide(config, inputs); });
    // What every rank goes on with, and what a resumed run reads.
    inputs = plan_inputs_from_text(job.share(to_text(inputs)));
  }
  if (fresh && job.first()) io::write_file(file, to_text(inputs));
  return inputs;
}

std::string to_text(const PlanInputs& inputs) {
  return nlohmann::ordered_json{{"topology", collectives::to_text(inputs.topology)},
                                {"forward_seconds", inputs.forward_seconds},
                                {"backward_seconds", inputs.backward_seconds},
                                {"expert_flops_per_s", inputs.expert_flops_per_s},
                                {"overlap_degree", inputs.overlap_degree},
                                {"memory_capacity", inputs.memory_capacity}}
             .dump(2) +
         "\n";
}

PlanInputs plan_inputs_from_text(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    PlanInputs inputs;
    inputs.topology = collectives::topology_from_text(json.at("topology").get<std::string>());
    json.at("forward_seconds").get_to(inputs.forward_seconds);
    json.at("backward_seconds").get_to(inputs.backward_seconds);
    if (json.contains("expert_flops_per_s"))  // not in those of older runs
      json.at("expert_flops_per_s").get_to(inputs.expert_flops_per_s);
    json.at("overlap_degree").get_to(inputs.overlap_degree);
    json.at("memory_capacity").get_to(inputs.memory_capacity);
    return inputs;
  } catch (const nlohmann::json::exception& error) {
    throw InvalidArgument(concat("plan inputs: ", error.what()));
  }
}

}  // namespace hecate::launcher
