#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collectives/communicator.h"
#include "collectives/topology.h"
#include "collectives/world.h"
#include "launcher/train/layer_report.h"
#include "models/config.h"
#include "models/parallel.h"
#include "models/sharded_storage.h"
#include "sharding/config.h"
#include "sharding/exec/expert_runtime.h"
#include "sharding/exec/resharder.h"
#include "sharding/loads.h"
#include "sharding/rearrange_config.h"
#include "sharding/strategy.h"

namespace hecate::launcher {

using StrategyFactory = std::function<std::unique_ptr<sharding::Strategy>(
    const std::string&, sharding::StrategyInputs)>;

struct ShardedOptions {
  std::string strategy = "fssdp";
  std::string planner = "auto";
  /// Makes `strategy`; the same on all ranks.
  StrategyFactory factory = sharding::make_strategy;
  sharding::FssdpConfig fssdp;
  sharding::RearrangeConfig rearrange;
  int overlap_degree = 0;         ///< t, resolved
  int memory_capacity = 0;        ///< m, resolved
  double expert_flops_per_s = 0;  ///< experts' compute; 0: unknown, owners move whatever it takes
  double reduce_exposed = 1;      ///< of LayerCost
  int64_t micro_batches = 1;
  int64_t counts_size = 0;  ///< of an exchange of counts; see models::MoeGate
};

/// What the experts' side of a step did, this rank's part.
struct ShardedReport {
  double planning_seconds = 0;
  sharding::exec::ExchangeStatistics exchange;
  sharding::exec::CalibrationStatistics calibration;
  sharding::exec::ReshardReport reshard;
  double reshard_seconds = 0;
  std::vector<LayerReport> layers;  ///< per MoE layer; the same on a domain's ranks
};

/// A rank's part of a model that is spread over ranks: dense slices, owned experts, the strategy
/// that places experts, and the runtimes that carry its plans out. Every method but the getters is
/// a collective or part of one: all ranks must call.
class ShardedModel {
 public:
  /// @param world all ranks, any lane. Everything outlives the object.
  ShardedModel(const models::ModelConfig& model, const models::ParameterLayout& layout,
               const collectives::Communicator& world, const collectives::Topology& topology,
               MemoryLedger& ledger, const ShardedOptions& options);

  models::Storage& storage() { return *storage_; }
  models::Parallel training() { return {.experts = training_.get(), .dense = dense_.get()}; }
  /// For forward passes: experts stay with their owners.
  models::Parallel evaluating() { return {.experts = evaluating_.get(), .dense = dense_.get()}; }
  /// For small exchanges between steps, and for the gradient norm inside of them.
  const collectives::Communicator& dense_lane() const { return lanes_.dense; }

  /// Plans the coming step's placements.
  void begin_step();
  /// After each micro-batch.
  void end_micro_batch();
  /// Before forward passes outside of steps.
  void begin_evaluation();
  /// After the update: records loads; moves owners where the strategy asks for it.
  /// @param step updates done.
  /// @return whether pieces have changed.
  bool end_step(int64_t step);

  const sharding::Strategy& strategy() const { return *strategy_; }
  const sharding::Ownership& owners() const { return experts_->owners(); }
  /// Of MoE layer `layer` in the last step: who holds which expert, by place in the domain.
  const collectives::Placement& placement(int64_t layer) const {
    return training_->materializer().placement(layer);
  }
  /// Of the last step; sources are all ranks.
  const sharding::StepLoads& loads() const { return loads_; }
  /// Since the last call.
  ShardedReport take_report();

  /// What a checkpoint keeps beside tensors.
  struct State {
    std::vector<int64_t> owners, tracker, strategy;
  };
  State state() const;
  /// Takes owners (before tensors are loaded), load history and the strategy's memory over where
  /// they fit this number of ranks and strategy; elsewhere the run goes on from initial owners.
  void restore(const State& state);

 private:
  sharding::StepLoads domain_loads() const;
  void count_layers();
  void compare_forecast(const sharding::StepLoads& loads);
  int owners_only_slots() const;

  collectives::World world_;
  sharding::exec::DomainLanes lanes_;
  MemoryLedger* ledger_;
  std::unique_ptr<sharding::Strategy> strategy_;
  std::vector<int64_t> initial_strategy_;  // its state
  std::optional<sharding::LoadTracker> tracker_;
  sharding::StepLoads loads_;  // of all ranks; the tracker has those of an average domain
  std::unique_ptr<sharding::exec::DenseShards> dense_;
  std::unique_ptr<sharding::exec::ExpertStore> experts_;
  std::unique_ptr<models::ShardedStorage> storage_;
  std::unique_ptr<sharding::exec::ExpertRuntime> training_, evaluating_;
  ShardedReport report_;
};

}  // namespace hecate::launcher
