#pragma once
#include <functional>
#include <span>
#include <vector>

#include "launcher/simulate/layer_traffic.h"
#include "launcher/simulate/simulation.h"
#include "launcher/simulate/step_program.h"
#include "sharding/sim/simulator.h"

namespace hecate::launcher {

/// Replays whole steps, micro-batches and update, on the simulated devices.
class StepTiming {
 public:
  struct Setup {
    const StepProgram* step = nullptr;
    const StepProgram* update = nullptr;
    const sharding::sim::Resources* resources = nullptr;
    const sharding::sim::DeviceModel* device = nullptr;
    sharding::sim::Surroundings all = {};
    int64_t micro_batches = 1;
    double outside_seconds = 0;  ///< of a step, outside of its operations
    double expert_chunk_bytes = 0, gradient_chunk_bytes = 0;  ///< of one expert on its way
  };
  using Held = std::vector<std::vector<double>>;
  explicit StepTiming(const Setup& setup);

  /// @param layers per MoE layer. @param held [layer][device]: experts whose state is there, in
  ///   parts where devices have slices.
  SimulatedStep time(std::span<const LayerTraffic> layers, const Held& held);

  /// Every run of the step timed last: its program and record, in order. The middle micro-batches
  /// of more than three appear once.
  struct RunOf {
    const StepProgram* program;
    sharding::sim::RunRecord record;
    double times;  ///< that it occurs
  };
  std::span<const RunOf> runs() const { return runs_; }

 private:
  void prepare(std::span<const LayerTraffic> layers, const Held& held);
  const sharding::sim::Traffic* traffic_of(size_t op, std::span<const LayerTraffic> layers);
  double run_micro_batches(sharding::sim::RunInputs& inputs);
  double run_update(double begin);
  void add_path(SimulatedStep& step) const;
  std::vector<double> layer_seconds(size_t layers) const;
  void add_links(SimulatedStep& step) const;
  void add_bounds(std::span<const LayerTraffic> layers, SimulatedStep& step) const;
  std::vector<const sharding::sim::Traffic*> update_traffic();

  Setup in_;
  std::vector<sharding::sim::Traffic> fixed_, fixed_update_;  // per operation: dense and counts
  std::vector<sharding::sim::Traffic> replicas_;              // per operation
  sharding::sim::RunInputs inputs_;
  std::vector<RunOf> runs_;
};

}  // namespace hecate::launcher
