#include "launcher/simulate/simulation.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <optional>

#include "launcher/simulate/load_source.h"
#include "launcher/simulate/report.h"
#include "launcher/simulate/step_timing.h"
#include "launcher/train/prediction.h"
#include "launcher/train/setup.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

namespace sim = sharding::sim;
using collectives::Placement;

constexpr int64_t kLongestInterval = 1000;

class Stopwatch {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    begin_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

RunConfig completed(const SimulationOptions& options) {
  RunConfig config = options.config;
  const ClusterProfile& cluster = options.cluster;
  HECATE_CHECK(options.devices >= 2, "simulate: ", options.devices, " devices, expected 2 or more");
  HECATE_CHECK(config.model.vocabulary > 0, "simulate: model.vocabulary is 0");
  HECATE_CHECK(!config.model.expert_layers().empty(), "simulate: the model has no experts");
  config.cluster.ranks_per_node =
      std::min<int64_t>(cluster.links.devices_per_node, options.devices);
  if (cluster.bytes.parameter <= 2) config.fssdp.gather_dtype = "bf16";
  if (config.device.memory_gib == 0) config.device.memory_gib = cluster.device.memory_gib;
  if (config.strategy == "auto") config.strategy = "fssdp";
  return config;
}

// What a run measures once, from the cluster's figures; the memory budget is looked at later.
PlanInputs plan_inputs(const RunConfig& config, const SimulationOptions& options) {
  PlanInputs inputs;
  inputs.topology = options.cluster.topology(options.devices);
  const DeviceProfile& device = options.cluster.device;
  inputs.expert_flops_per_s = 1e12 * device.tflops * device.expert_efficiency;
  inputs.overlap_degree = static_cast<int>(std::max<int64_t>(0, config.fssdp.overlap_degree));
  inputs.memory_capacity = static_cast<int>(std::max<int64_t>(0, config.fssdp.memory_capacity));
  return inputs;
}

// Compute of a layer without its experts.
LayerSeconds layer_seconds(const StepProgram& step, const sim::DeviceModel& device,
                           int64_t layers) {
  LayerSeconds seconds;
  for (const sim::Op& op : step.program.ops) {
    if (op.layer < 0 || op.rows >= 0 || op.lane != 0) continue;
    const double one = sim::seconds_of(
        device, {.kind = op.kind, .flops = op.flops, .bytes = op.bytes, .rows = 0, .groups = 0});
    (op.backward ? seconds.backward : seconds.forward) += one / static_cast<double>(layers);
  }
  return seconds;
}

// The engine stays where it was made.
struct Imagined {
  Engine engine;
  Imagined(const RunConfig& config, const PlanInputs& inputs)
      : engine(imagined_engine(config, inputs, 0)) {}
};

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : options_(options),
        config_(completed(options)),
        inputs_(plan_inputs(config_, options)),
        device_(options.cluster.device_model()),
        source_(make_load_source(options.loads)) {
    decide();
    build();
  }

  SimulationResult run(const std::filesystem::path& timeline) {
    for (int64_t i = 0; i < options_.warmup + options_.steps; ++i) step(i, i >= options_.warmup);
    if (!timeline.empty()) write_timeline(timing_->runs(), timeline);
    return finish();
  }

 private:
  // t and m, as a run would choose them.
  void decide() {
    Stopwatch watch;
    if (config_.fssdp.overlap_degree < 0) {
      const Engine bare = imagined_engine(config_, inputs_, 0);
      const StepProgram step = step_program(bare.step_executor().graph(), options_.cluster, 1, 1);
      const LayerSeconds seconds = layer_seconds(step, device_, config_.model.layers);
      inputs_.forward_seconds = seconds.forward;
      inputs_.backward_seconds = seconds.backward;
      inputs_.overlap_degree = overlap_degree_of(config_, inputs_);
    }
    if (config_.fssdp.memory_capacity < 0) {
      RunConfig unlimited = config_;
      unlimited.device.memory_gib = 0;  // of a build with other numbers: judged in `finish`
      inputs_.memory_capacity = fitting_capacity(unlimited, inputs_);
    }
    result_.graph_seconds += watch.lap();
  }

  void build() {
    Stopwatch watch;
    engine_.emplace(config_, inputs_);
    topology_ = domain_topology(config_, inputs_.topology);
    resources_.emplace(topology_.node_of, options_.cluster.link_model());
    const auto domain = static_cast<int>(topology_.ranks());
    step_ = step_program(engine_->engine.step_executor().graph(), options_.cluster,
                         config_.model.experts, domain);
    update_ = step_program(engine_->engine.update_executor().graph(), options_.cluster, 1, 1);
    make_strategy();
    const double elements = expert_elements();
    const BytesProfile& bytes = options_.cluster.bytes;
    timing_.emplace(StepTiming::Setup{
        .step = &step_,
        .update = &update_,
        .resources = &*resources_,
        .device = &device_,
        .all = {.devices = options_.devices,
                .devices_per_node = static_cast<int>(config_.cluster.ranks_per_node)},
        .micro_batches = micro_batches(),
        .outside_seconds = 1e-3 * options_.cluster.device.step_ms,
        .expert_chunk_bytes = elements * bytes.parameter,
        .gradient_chunk_bytes = elements * bytes.gradient});
    planner_.emplace(
        LayerShape{.row_bytes = static_cast<double>(config_.model.d_model) * bytes.token,
                   .elements = elements,
                   .parameter_bytes = bytes.parameter,
                   .gradient_bytes = bytes.gradient,
                   .topology = topology_,
                   .algorithm = collectives::sparse_algorithm(config_.fssdp.sparse_algorithm),
                   .segment_bytes = options_.cluster.links.segment_kib << 10},
        *resources_, shape_.layers);
    result_.graph_seconds += watch.lap();
  }

  // The runtime's own, with the sizes that numbers have on this cluster.
  void make_strategy() {
    sharding::StrategyInputs inputs = engine_->engine.sharded()->strategy().inputs();
    const BytesProfile& bytes = options_.cluster.bytes;
    if (inputs.cost) {
      inputs.cost->row_bytes *= bytes.token / sizeof(Real);
      inputs.cost->reduce_bytes *= bytes.gradient / sizeof(Real);
    }
    strategy_ = engine_->engine.options().sharded.factory(config_.strategy, inputs);
    shape_ = {.layers = inputs.layers, .sources = inputs.devices(), .experts = inputs.experts};
    tracker_.emplace(shape_, static_cast<int>(config_.fssdp.window), config_.fssdp.forecast);
    owners_.emplace(strategy_->initial_owners());
    residents_ = residents(*owners_);
    for (int64_t step = 1; step <= kLongestInterval && interval_ == 0; ++step)
      if (strategy_->moves_owners(step)) interval_ = step;
  }

  double expert_elements() const {
    const models::ModelConfig& model = config_.model;
    return static_cast<double>((model.gated() ? 3 : 2) * model.d_model * model.expert_hidden);
  }
  int64_t micro_batches() const {
    const EngineOptions& options = engine_->engine.options();
    return options.global_batch / (options.micro_batch * options.ranks());
  }

  void step(int64_t index, bool timed) {
    Stopwatch watch;
    const int64_t tokens = engine_->engine.options().micro_batch * config_.model.sequence;
    const sharding::StepLoads loads = source_->loads(shape_, tokens, config_.model.top_k, index);
    result_.loads_seconds += watch.lap();
    plan(loads, timed);
    result_.plan_seconds += watch.lap();
    if (timed) result_.steps.push_back(timing_->time(layers_, held()));
    result_.replay_seconds += watch.lap();
    tracker_->record(loads);
    // Numbered so that the last step of the warm-up is the first after which owners move.
    const int64_t number = std::max<int64_t>(1, interval_ - options_.warmup + 1 + index);
    if (const auto next = strategy_->next_owners(number, *owners_, *tracker_)) move_to(*next);
    result_.plan_seconds += watch.lap();
  }

  void plan(const sharding::StepLoads& loads, bool timed) {
    const std::vector<Placement> placements = strategy_->plan_step(*owners_, *tracker_);
    const std::vector<std::vector<int>> copies = strategy_->copies();
    const ExpertsKept how{.groups = strategy_->dispatch_groups(),
                          .policy = strategy_->dispatch(),
                          .replicas = strategy_->keeps_replicas(),
                          .slices = strategy_->slices_experts()};
    layers_.clear();
    for (int l = 0; l < shape_.layers; ++l) {
      const Placement& planned = placements[static_cast<size_t>(l)];
      std::optional<Placement> widened;
      if (strategy_->plans_after_gate())
        widened = strategy_->plan_after_gate(l, *owners_, planned, loads.layer(l));
      if (!timed) continue;
      layers_.push_back(
          planner_->plan(l, *owners_, planned, widened ? *widened : planned, loads.layer(l), how,
                         copies.empty() ? std::span<const int>() : copies[static_cast<size_t>(l)]));
    }
  }

  // Where state is: owners, and replicas that stay.
  std::vector<Placement> residents(const sharding::Ownership& owners) const {
    if (strategy_->keeps_replicas()) return strategy_->residents();
    std::vector<Placement> places;
    for (int l = 0; l < owners.layers(); ++l) places.push_back(owners.placement(l));
    return places;
  }

  StepTiming::Held held() const {
    StepTiming::Held held;
    for (const Placement& layer : residents_) {
      held.emplace_back();
      for (int d = 0; d < layer.devices(); ++d)
        held.back().push_back(strategy_->slices_experts()
                                  ? static_cast<double>(layer.experts()) / layer.devices()
                                  : layer.held_by(d));
    }
    return held;
  }

  // Parameters and both moments go to every place that did not have them, from the owner before.
  void move_to(const sharding::Ownership& next) {
    const std::vector<Placement> places = residents(next);
    const double domains = static_cast<double>(options_.devices) / topology_.ranks();
    const double state = 3 * sizeof(Real) * expert_elements() / domains;
    std::vector<double> loads(resources_->count());
    double moves = 0;
    for (int l = 0; l < next.layers() && !strategy_->slices_experts(); ++l)
      for (int e = 0; e < next.experts(); ++e)
        for (const int device : places[static_cast<size_t>(l)].holders(e)) {
          if (residents_[static_cast<size_t>(l)].holds(e, device)) continue;
          resources_->add(owners_->owner(l, e), device, state, loads);
          ++moves;
        }
    if (moves > 0) {
      ++moved_;
      moved_seconds_ += resources_->seconds(loads) + resources_->links().between_latency_s;
      moved_bytes_ += state * moves * domains;
    }
    owners_ = next;
    residents_ = places;
  }

  SimulationResult finish() {
    SimulationResult& result = result_;
    result.overlap_degree = inputs_.overlap_degree;
    result.memory_capacity = inputs_.memory_capacity;
    if (moved_ > 0 && interval_ > 0) {
      result.moved_seconds_per_step = moved_seconds_ / static_cast<double>(moved_ * interval_);
      result.moved_bytes_per_step = moved_bytes_ / static_cast<double>(moved_ * interval_);
    }
    result.step_seconds = median_step(result).seconds + result.moved_seconds_per_step;
    double most = 1;
    for (const SimulatedStep& step : result.steps) most = std::max(most, step.fullest);
    result.memory = engine_->engine.predicted_bytes(most);
    // Numbers of this build, scaled to those of the cluster.
    const auto scale = [&](MemoryCategory category, double bytes) {
      auto& value = result.memory[static_cast<size_t>(category)];
      value = static_cast<int64_t>(static_cast<double>(value) * bytes / sizeof(Real));
    };
    scale(MemoryCategory::activations, options_.cluster.bytes.activation);
    scale(MemoryCategory::materialized, options_.cluster.bytes.parameter);
    result.memory_gib = static_cast<double>(total(result.memory)) / (1 << 30);
    result.fits = config_.device.memory_gib == 0 || result.memory_gib <= config_.device.memory_gib;
    result.tokens = config_.train.global_batch * config_.model.sequence;
    result.operations = static_cast<int>(step_.program.ops.size());
    result.simulated_devices = topology_.ranks();
    return std::move(result_);
  }

  const SimulationOptions& options_;
  RunConfig config_;
  PlanInputs inputs_;
  sim::DeviceModel device_;
  std::unique_ptr<LoadSource> source_;
  collectives::Topology topology_;
  std::optional<Imagined> engine_;
  std::optional<sim::Resources> resources_;
  StepProgram step_, update_;
  std::unique_ptr<sharding::Strategy> strategy_;
  sharding::LoadShape shape_;
  std::optional<sharding::LoadTracker> tracker_;
  std::optional<sharding::Ownership> owners_;
  std::vector<Placement> residents_;  // per layer
  std::optional<LayerPlanner> planner_;
  std::optional<StepTiming> timing_;
  std::vector<LayerTraffic> layers_;
  int64_t interval_ = 0, moved_ = 0;
  double moved_seconds_ = 0, moved_bytes_ = 0;
  SimulationResult result_;
};

}  // namespace

const SimulatedStep& median_step(const SimulationResult& result) {
  HECATE_CHECK(!result.steps.empty(), "simulate: no step was simulated");
  std::vector<const SimulatedStep*> steps;
  for (const SimulatedStep& step : result.steps) steps.push_back(&step);
  std::ranges::sort(steps, {}, [](const SimulatedStep* step) { return step->seconds; });
  return *steps[steps.size() / 2];
}

SimulationResult simulate(const SimulationOptions& options, const std::filesystem::path& timeline) {
  HECATE_CHECK(options.steps >= 1 && options.warmup >= 0, "simulate: ", options.steps,
               " steps after ", options.warmup, ", expected 1 or more after 0 or more");
  return Simulation(options).run(timeline);
}

}  // namespace hecate::launcher
