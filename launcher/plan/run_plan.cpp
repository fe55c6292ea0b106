#include "launcher/plan/run_plan.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "launcher/train/prediction.h"
#include "launcher/train/setup.h"
#include "runtime/base/error.h"
#include "runtime/kernels/peak.h"

namespace hecate::launcher {
namespace {

constexpr int kRanksShown = 8;
constexpr double kPeakSeconds = 0.2;

collectives::Topology topology_of(const RunConfig& config, int ranks) {
  const auto& cluster = config.cluster;
  const int per_node =
      cluster.ranks_per_node > 0 ? static_cast<int>(cluster.ranks_per_node) : ranks;
  const double inside = cluster.inside_gb_per_s, between = cluster.between_gb_per_s;
  // A kind of link that is not given has the other one's rate; with neither nothing uses it.
  const auto link = [](double rate, double other, double latency_us) {
    const double chosen = rate > 0 ? rate : other > 0 ? other : 1;
    return collectives::Link{.bytes_per_s = 1e9 * chosen,
                             .latency_s = 1e-6 * (latency_us > 0 ? latency_us : 1)};
  };
  return collectives::Topology::uniform(ranks, per_node,
                                        link(inside, between, cluster.inside_latency_us),
                                        link(between, inside, cluster.between_latency_us));
}

bool links_given(const RunConfig& config, const collectives::Topology& topology) {
  return topology.nodes() > 1 ? config.cluster.between_gb_per_s > 0
                              : config.cluster.inside_gb_per_s > 0;
}

double device_rate(const RunConfig& config, int ranks) {
  if (config.device.kind == "paced") return 1e9 * config.device.pace_gflops;
  ThreadPool pool(ranks > 1 && config.device.threads == 0 ? 1 : compute_threads(config.device));
  CpuStream stream(pool);
  return kernels::measure_peak_flops(stream, kPeakSeconds);
}

// What the strategies of other systems plan with in place of t and m; empty for ours.
std::string rearrangement(const RunConfig& config, const collectives::Mesh& mesh) {
  const int64_t every = config.rearrange.every, slots = config.rearrange.slots;
  const int64_t share = (config.model.experts + mesh.domain_size() - 1) / mesh.domain_size();
  const int64_t room = std::min(config.model.experts, share + slots);
  const std::string when = every > 0 ? concat("every ", every, " steps") : "never";
  if (config.strategy == "smartmoe") return concat("owners are exchanged inside layers ", when);
  if (config.strategy == "fastermoe")
    return concat("at most ", slots, " experts per layer are copied to all ranks after the gate");
  if (config.strategy == "flexmoe" || config.strategy == "eplb")
    return concat(room, " experts per rank and layer live there, rearranged ", when);
  if (config.strategy == "laer")
    return concat("1/", mesh.domain_size(), " of every expert lives on each rank, ", room,
                  " whole ones per rank and layer are restored for each pass");
  return "";
}

std::string gib(int64_t bytes) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(3) << static_cast<double>(bytes) / (1 << 30) << " GiB";
  return text.str();
}

void write_placement(std::ostream& out, const RunConfig& config, const PlanInputs& inputs,
                     const collectives::Mesh& mesh, bool links) {
  const std::string others = rearrangement(config, mesh);
  if (!others.empty()) {
    out << others << "\n";
    return;
  }
  out << "t = " << inputs.overlap_degree
      << " experts gathered ahead per layer, m = " << inputs.memory_capacity
      << " copies per rank and layer";
  if (config.fssdp.calibrate) out << ", what the forecast leaves of them filled after the gate";
  if (config.fssdp.overlap_degree < 0 && !links)
    out << " (links unknown: give cluster.between_gb_per_s or cluster.inside_gb_per_s)";
  out << "\n";
}

void write_memory(std::ostream& out, const RunConfig& config, const PlanInputs& inputs,
                  double load_factor) {
  const int ranks = std::max(1, inputs.topology.ranks());
  out << "memory at load factor " << load_factor << ":\n";
  for (int rank = 0; rank < ranks; ++rank) {
    if (ranks > kRanksShown && rank > 0 && rank + 1 < ranks) continue;
    const MemoryBytes bytes = predict_memory(config, inputs, rank, load_factor);
    out << "  rank " << rank << ": " << gib(total(bytes)) << " =";
    for (size_t i = 0; i < kMemoryCategories; ++i)
      if (bytes[i] > 0)
        out << ' ' << name_of(static_cast<MemoryCategory>(i)) << ' ' << gib(bytes[i]);
    out << "\n";
  }
}

void write_budget(std::ostream& out, const RunConfig& config, const PlanInputs& inputs,
                  double load_factor) {
  if (config.device.memory_gib <= 0) return;
  const auto budget = static_cast<int64_t>(config.device.memory_gib * (1ll << 30));
  const int64_t needed = total(predict_memory(config, inputs, 0, load_factor));
  if (needed <= budget) {
    out << "budget " << gib(budget) << ": fits, " << gib(budget - needed) << " left\n";
    return;
  }
  out << "budget " << gib(budget) << ": " << needed - budget << " bytes too small\n";
  for (const std::string& each : settings_that_fit(config, inputs, load_factor))
    out << "  fits with " << each << "\n";
}

void write_step(std::ostream& out, const RunConfig& config, const PlanInputs& inputs,
                const StepFlops& flops, double rate, bool links) {
  out << "a step per rank: " << flops.step * 1e-9 << " GFLOP, experts "
      << 100 * flops.experts / std::max(1.0, flops.step) << " % (even routing); "
      << flops.step / rate << " s of compute at " << rate * 1e-9 << " GFLOP/s\n";
  if (!links || inputs.topology.ranks() < 2) return;
  const auto tokens = static_cast<double>(config.train.global_batch * config.model.sequence) /
                      inputs.topology.ranks();
  const auto layers = static_cast<double>(config.model.expert_layers().size());
  const int nodes = domain_topology(config, inputs.topology).nodes();
  const double away = 1.0 - 1.0 / nodes;
  const double per_node = static_cast<double>(inputs.topology.ranks()) / inputs.topology.nodes();
  const double bytes = 4 * layers * tokens * static_cast<double>(config.model.top_k) * away *
                       per_node * static_cast<double>(config.model.d_model) * sizeof(Real);
  const double seconds = bytes / inputs.topology.between.bytes_per_s;
  if (nodes > 1)
    out << "token exchange without copies: " << bytes * 1e-6 << " MB over each node's link, "
        << seconds << " s\n"
        << "predicted step (even routing, exchange exposed, gathers hidden): "
        << flops.step / rate + seconds << " s\n";
}

}  // namespace

std::string plan_run(const RunConfig& config, const RunPlanOptions& options) {
  HECATE_CHECK(options.ranks >= 1, "plan: --ranks ", options.ranks, ", expected at least 1");
  PlanInputs inputs;
  inputs.topology = topology_of(config, options.ranks);
  const collectives::Mesh mesh = mesh_of(config, inputs.topology.node_of);
  const bool links = links_given(config, inputs.topology);
  const double rate = device_rate(config, options.ranks);
  inputs.expert_flops_per_s = rate;
  const StepFlops flops = predict_flops(config, inputs);
  inputs.forward_seconds = flops.layer_forward / rate;
  inputs.backward_seconds = flops.layer_backward / rate;
  std::ostringstream out;
  out << options.ranks << " ranks on " << inputs.topology.nodes() << " nodes, strategy "
      << config.strategy;
  if (mesh.domains() > 1)
    out << " in " << mesh.domains() << " domains of " << mesh.domain_size() << " ranks";
  out << "\n";
  if (options.ranks > 1) {
    inputs.overlap_degree = static_cast<int>(std::max<int64_t>(0, config.fssdp.overlap_degree));
    if (config.fssdp.overlap_degree < 0 && links)
      inputs.overlap_degree = overlap_degree_of(config, inputs);
    inputs.memory_capacity = config.fssdp.memory_capacity >= 0
                                 ? static_cast<int>(config.fssdp.memory_capacity)
                                 : fitting_capacity(config, inputs, options.load_factor);
    write_placement(out, config, inputs, mesh, links);
  }
  write_memory(out, config, inputs, options.load_factor);
  write_budget(out, config, inputs, options.load_factor);
  write_step(out, config, inputs, flops, rate, links);
  return out.str();
}

}  // namespace hecate::launcher
