#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "launcher/config/run_config.h"
#include "launcher/simulate/cluster_profile.h"
#include "runtime/graph/step_graph.h"
#include "runtime/memory/ledger.h"

/// Steps of a run on a cluster that is not there. The step's graph, the planners and the sparse
/// schedules are the runtime's own; time is the simulator's (sharding/sim).
namespace hecate::launcher {

struct SimulationOptions {
  RunConfig config;  ///< complete; train.global_batch is that of all devices
  ClusterProfile cluster;
  int devices = 8;
  std::string loads = "even";  ///< as make_load_source
  int64_t warmup = 8;          ///< steps that only load records and owners follow from
  int64_t steps = 4;           ///< simulated
};

using ByKind = std::array<double, graph::kOpKinds>;

/// One step.
struct SimulatedStep {
  double seconds = 0;          ///< without moves of owners
  ByKind critical{};           ///< what the step's critical path consists of; sums to `seconds`
  ByKind waited{};             ///< what the compute lane stood still for, mean of the ranks
  ByKind link_bytes{};         ///< by kind: of the busiest adapter, the larger direction
  std::vector<double> layers;  ///< per MoE layer: rows on their way to experts and back
  double layer_seconds = 0;    ///< their mean
  double bound_seconds = 0;    ///< the same: no less than its compute evenly spread, or its links
  double imbalance = 0;        ///< rows of the busiest device over the mean, mean over layers
  double worst_imbalance = 0;
  double fullest = 0;  ///< rows of all layers on the device with most, over the mean
};

struct SimulationResult {
  std::vector<SimulatedStep> steps;
  double step_seconds = 0;  ///< median, and what moves of owners take per step
  double moved_seconds_per_step = 0, moved_bytes_per_step = 0;
  int overlap_degree = 0, memory_capacity = 0;
  MemoryBytes memory{};  ///< of the device with most rows
  double memory_gib = 0;
  bool fits = true;  ///< the cluster's memory
  int64_t tokens = 0;
  int operations = 0, simulated_devices = 0;
  double loads_seconds = 0, graph_seconds = 0, plan_seconds = 0, replay_seconds = 0;  ///< spent
};

/// The middle one by seconds.
const SimulatedStep& median_step(const SimulationResult& result);

/// The devices of one domain are simulated one by one; other domains do the same.
/// @param timeline gets the last step of every simulated device (at most 64) where it is not empty.
/// @throws InvalidArgument for what cannot be trained on that many devices, or a domain that nodes
///   cut up; IoError.
SimulationResult simulate(const SimulationOptions& options,
                          const std::filesystem::path& timeline = {});

}  // namespace hecate::launcher
