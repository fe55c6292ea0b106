#include "launcher/train/setup.h"

#include <algorithm>
#include <span>
#include <thread>

#include "launcher/train/device.h"

namespace hecate::launcher {

int compute_threads(const DeviceConfig& device, const Job& job) {
  if (device.threads > 0) return static_cast<int>(device.threads);
  if (job.ranks() > 1) {
    const std::span<const int> nodes = job.world().nodes();
    if (std::ranges::count(nodes, nodes[static_cast<size_t>(job.rank())]) > 1) return 1;
  }
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

RunConfig with_vocabulary(RunConfig config) {
  const data::DataDescription description = data::describe(config.data);
  const int64_t extra = config.model.objective == "masked" ? 1 : 0;  // the mask id
  if (config.model.vocabulary == 0) {
    HECATE_CHECK(description.vocabulary > 0, "model.vocabulary is 0 and ", config.data.path,
                 " does not say how large it is");
    config.model.vocabulary = description.vocabulary + extra;
  }
  HECATE_CHECK(config.model.vocabulary >= description.vocabulary + extra,
               "model.vocabulary = ", config.model.vocabulary, " is smaller than the data's ",
               description.vocabulary, extra > 0 ? " and one mask id" : "", " (", config.data.path,
               "); 0 takes the data's");
  return config;
}

EngineOptions engine_options(const RunConfig& config) {
  EngineOptions options;
  options.device = device_kind(config.device);
  options.model = config.model;
  options.router = config.router;
  options.optimizer = config.optimizer;
  options.seed = static_cast<uint64_t>(config.seed);
  options.global_batch = config.train.largest_batch();
  options.micro_batch = config.train.sequences_at_once();
  options.mask_documents = config.data.mask_documents;
  options.mask_vocabulary = config.model.vocabulary - 1;
  options.threads = compute_threads(config.device);
  if (config.device.kind == "paced") options.pace_flops_per_s = 1e9 * config.device.pace_gflops;
  options.sharded.strategy = config.strategy == "auto" ? "fssdp" : config.strategy;
  options.sharded.planner = config.planner;
  options.sharded.fssdp = config.fssdp;
  options.sharded.rearrange = config.rearrange;
  options.sharded.overlap_degree =
      static_cast<int>(std::max<int64_t>(0, config.fssdp.overlap_degree));
  options.sharded.memory_capacity =
      static_cast<int>(std::max<int64_t>(0, config.fssdp.memory_capacity));
  options.memory_budget_bytes = static_cast<int64_t>(config.device.memory_gib * (1ll << 30));
  return options;
}

EngineOptions engine_options(const RunConfig& config, const Job& job, const PlanInputs& inputs) {
  EngineOptions options = engine_options(config);
  if (job.ranks() == 1) return options;
  if (config.strategy == "single") {
    std::string known;
    for (const std::string& each : sharding::strategy_names()) known += ", " + each;
    throw InvalidArgument(
        concat("strategy = single on ", job.ranks(), " ranks: expected auto", known));
  }
  options.micro_batch = config.train.sequences_at_once(job.ranks());
  options.threads = compute_threads(config.device, job);
  options.world = job.world();
  options.topology = inputs.topology;
  if (options.device == DeviceKind::cuda) options.device_index = device_index_of(job);
  options.sharded.strategy = config.strategy == "auto" ? "fssdp" : config.strategy;
  options.sharded.planner = config.planner;
  options.sharded.fssdp = config.fssdp;
  options.sharded.overlap_degree = inputs.overlap_degree;
  options.sharded.memory_capacity = inputs.memory_capacity;
  options.sharded.expert_flops_per_s =
      config.fssdp.expert_gflops > 0 ? 1e9 * config.fssdp.expert_gflops : inputs.expert_flops_per_s;
  if (config.fssdp.calibrate) options.sharded.reduce_exposed = exposed_reduction(config, inputs);
  return options;
}

}  // namespace hecate::launcher
