#pragma once
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "collectives/cluster_config.h"
#include "launcher/config/config.h"
#include "launcher/config/metrics_config.h"
#include "models/config.h"
#include "models/optimizer.h"
#include "runtime/base/config_fields.h"
#include "runtime/data/config.h"
#include "scheduler/config.h"
#include "scheduler/population/config.h"
#include "scheduler/run_length.h"
#include "sharding/config.h"
#include "sharding/rearrange_config.h"

/// Everything that a run can be told; `hecate config --explain` prints this file's documentation.
namespace hecate::launcher {

struct DeviceConfig {
  std::string kind = "cpu";
  double pace_gflops = 0;
  int64_t threads = 0;
  double memory_gib = 0;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("kind", self.kind,
          "what computes; paced is the CPU slowed down to pace_gflops, to stand for a device",
          one_of({"cpu", "paced", "cuda"}));
    visit("pace_gflops", self.pace_gflops,
          "paced: a compute operation lasts at least its flops / this; 10^9 flop/s", at_least(0));
    visit("threads", self.threads,
          "compute threads of a rank; 0: all cores, or one where ranks share a machine",
          at_least(0));
    visit("memory_gib", self.memory_gib, "a rank's memory budget; 0: none", at_least(0));
  }

  /// @throws InvalidArgument if paced has no pace.
  void validate() const;
};

struct BatchStageConfig {
  int64_t steps = 1;
  int64_t global_batch = 1;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("steps", self.steps, "how many steps use this batch", at_least(1));
    visit("global_batch", self.global_batch, "sequences per step meanwhile", at_least(1));
  }
};

struct TrainConfig {
  int64_t steps = 1000;
  int64_t global_batch = 16;
  std::vector<BatchStageConfig> batch_ramp;
  int64_t micro_batch = 0;
  int64_t eval_every = 0;
  int64_t eval_batches = 0;
  std::string on_spike = "stop";
  double spike_factor = 0;
  int64_t spike_window = 32;
  int64_t log_every = 1;
  double progress_seconds = 10;
  double deadline_seconds = 60;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("steps", self.steps, "optimizer steps of the run", at_least(1));
    visit("global_batch", self.global_batch,
          "sequences per step; a multiple of rank count * micro_batch", at_least(1));
    visit("batch_ramp", self.batch_ramp,
          "stages at the run's start with other batches, before global_batch");
    visit("micro_batch", self.micro_batch,
          "sequences per rank that run at once; 0: a rank's whole part of the batch", at_least(0));
    visit("eval_every", self.eval_every, "steps between evaluations; 0: only after the last",
          at_least(0));
    visit("eval_batches", self.eval_batches,
          "micro-batches of an evaluation; 0: the whole held-out part", at_least(0));
    visit(
        "on_spike", self.on_spike,
        "on a loss or gradient that is not finite or a loss spike: stop the run, skip the update, "
        "or roll back to the last checkpoint and skip the samples",
        one_of({"stop", "skip", "rollback"}));
    visit("spike_factor", self.spike_factor,
          "a loss above this times the mean of the window is a spike; 0: only what is not finite",
          at_least(0));
    visit("spike_window", self.spike_window, "steps in that mean", at_least(1));
    visit("log_every", self.log_every, "steps between lines of steps.jsonl", at_least(1));
    visit("progress_seconds", self.progress_seconds,
          "between progress lines where standard error is no terminal", at_least(0));
    visit("deadline_seconds", self.deadline_seconds,
          "after SIGINT or SIGTERM to finish the step and save; then the process ends",
          at_least(1));
  }

  /// Sequences that one of `ranks` ranks runs at once.
  int64_t sequences_at_once(int64_t ranks = 1) const {
    return micro_batch > 0 ? micro_batch : std::max<int64_t>(1, global_batch / ranks);
  }
  /// Of global_batch and the stages of batch_ramp.
  int64_t largest_batch() const;
  /// @throws InvalidArgument if a batch is no multiple of micro_batch, a ramp has no micro_batch,
  /// or
  ///   a spike factor is too small.
  void validate() const;
};

struct CheckpointConfig {
  int64_t every = 0;
  int64_t keep = 3;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("every", self.every, "steps between checkpoints; 0: only after the last", at_least(0));
    visit("keep", self.keep, "newest checkpoints that are kept", at_least(1));
  }
};

struct RunConfig {
  int64_t seed = 0;
  std::string strategy = "auto";
  std::string planner = "auto";
  bool trace_loads = false;
  DeviceConfig device;
  collectives::ClusterConfig cluster;
  TrainConfig train;
  models::ModelConfig model;
  models::RouterConfig router;
  models::OptimizerConfig optimizer;
  scheduler::ScheduleConfig schedule;
  sharding::FssdpConfig fssdp;
  sharding::RearrangeConfig rearrange;
  data::DataConfig data;
  CheckpointConfig checkpoint;
  MetricsConfig metrics;
  population::PopulationConfig pbt;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("seed", self.seed, "of every random draw: initial values, sampling, jitter, dropout",
          at_least(0));
    visit("strategy", self.strategy,
          "how experts are placed over ranks; auto: fssdp (single on one rank)",
          one_of({"auto", "single", "fssdp", "fssdp-rm", "ep", "fsdp", "smartmoe", "fastermoe",
                  "flexmoe", "eplb", "laer"}));
    visit("planner", self.planner,
          "what plans the placement; auto and paper: the strategy's own; balanced, for fssdp and "
          "fssdp-rm: by an explicit cost of compute, exchanges and gathers",
          one_of({"auto", "paper", "balanced"}));
    visit("trace_loads", self.trace_loads,
          "writes every step's expert loads to loads.npy in the run directory, for replay", any());
    visit("device", self.device, "what computes");
    visit("cluster", self.cluster, "which ranks share a node, and the links between them");
    visit("train", self.train, "the training loop");
    visit("model", self.model, "the transformer");
    visit("router", self.router, "who chooses experts, and how load is kept even");
    visit("optimizer", self.optimizer, "AdamW");
    visit("schedule", self.schedule, "the learning rate over the run");
    visit("fssdp", self.fssdp, "experts over ranks: domains, copies, owners, overlap");
    visit("rearrange", self.rearrange, "experts over ranks, by other systems' strategies");
    visit("data", self.data, "what training reads");
    visit("checkpoint", self.checkpoint, "when state is saved");
    visit("metrics", self.metrics, "live metrics");
    visit("pbt", self.pbt, "hecate pbt: a population that searches hyper-parameters");
  }

  /// Steps and tokens of the run, for lengths of its schedule.
  scheduler::RunLength run_length() const;

  /// @throws InvalidArgument naming the keys of an impossible combination across tables.
  void validate() const;
};

/// A run's configuration: defaults, then model.preset's and schedule.kind's values, then files and
/// overrides in order.
/// @param unchecked tables whose cross-field check is left out: {"data"} where nothing is read.
/// @throws as config::Settings and config::apply; InvalidArgument for an unknown preset.
RunConfig load_run_config(const config::Settings& settings,
                          const std::vector<std::string>& unchecked = {});

}  // namespace hecate::launcher
