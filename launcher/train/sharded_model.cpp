#include "launcher/train/sharded_model.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>

#include "launcher/train/plan_inputs.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

using sharding::exec::ExpertChunks;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

collectives::WorldOptions world_options(const ShardedOptions& options) {
  collectives::WorldOptions world;
  world.domain = collectives::parse_domain(options.fssdp.domain);
  return world;
}

std::optional<sharding::LayerCost> layer_cost(const models::ModelConfig& model,
                                              const ExpertChunks& chunks,
                                              const sharding::exec::DomainLanes& lanes,
                                              const ShardedOptions& options) {
  HECATE_CHECK(
      !options.fssdp.calibrate || options.expert_flops_per_s > 0,
      "fssdp.calibrate = true: the rate of experts' compute was not measured when this run "
      "began; give fssdp.expert_gflops");
  if (options.expert_flops_per_s == 0) return std::nullopt;
  const std::vector<int64_t> layers = model.expert_layers();
  const bool again = std::ranges::all_of(layers, [&](int64_t l) { return model.recomputes(l); });
  const auto elements = static_cast<double>(chunks.elements);
  sharding::LayerCost cost;
  cost.topology = lanes.plan_topology;
  cost.seconds_per_row = expert_row_flops(model, again) / options.expert_flops_per_s;
  cost.row_bytes = static_cast<double>(model.d_model) * sizeof(Real);
  cost.exchanges = again ? 6 : 4;
  cost.gather_bytes = elements * (options.fssdp.gather_dtype == "bf16" ? 2 : sizeof(Real));
  cost.reduce_bytes = elements * sizeof(Real);
  if (options.strategy == "fssdp-rm") cost.reduce_bytes += cost.gather_bytes;  // again, in backward
  cost.reduce_exposed = options.reduce_exposed;
  cost.state_bytes = 3 * elements * sizeof(Real) / lanes.domains();
  return cost;
}

// Of planner = balanced; nothing for the others.
std::optional<sharding::balanced::Model> balanced_model(
    const ShardedOptions& options, const std::optional<sharding::LayerCost>& cost) {
  if (options.planner != "balanced") return std::nullopt;
  HECATE_CHECK(cost.has_value(),
               "planner = balanced: the rate of experts' compute was not measured when this run "
               "began; give fssdp.expert_gflops");
  return sharding::balanced::model_hiding(*cost, options.overlap_degree,
                                          sharding::balanced::objective(options.fssdp.objective));
}

sharding::StrategyInputs strategy_inputs(const models::ModelConfig& model,
                                         const ExpertChunks& chunks,
                                         const sharding::exec::DomainLanes& lanes,
                                         const ShardedOptions& options) {
  const std::optional<sharding::LayerCost> cost = layer_cost(model, chunks, lanes, options);
  return {.layers = static_cast<int>(chunks.layers),
          .experts = static_cast<int>(chunks.experts),
          .node_of = lanes.plan_topology.node_of,
          .overlap_degree = options.overlap_degree,
          .memory_capacity = options.memory_capacity,
          .reshard_interval = static_cast<int>(options.fssdp.reshard_every),
          .calibrate = options.fssdp.calibrate,
          .dispatch = sharding::dispatch_policy(options.fssdp.dispatch),
          .cost = cost,
          .rearrange = {.every = static_cast<int>(options.rearrange.every),
                        .slots = static_cast<int>(options.rearrange.slots),
                        .groups = static_cast<int>(options.rearrange.groups),
                        .threshold = options.rearrange.threshold},
          .balanced_model = balanced_model(options, cost)};
}

sharding::exec::ExpertRuntimeOptions runtime_options(const sharding::Strategy& strategy,
                                                     const ShardedOptions& options) {
  std::vector<int> groups = strategy.dispatch_groups();
  if (groups == strategy.inputs().node_of) groups.clear();  // a domain's nodes are its own
  return {.training = true,
          .release = strategy.releases_after_forward(),
          .prefetch_depth = options.fssdp.prefetch_depth,
          .slots = strategy.slots(),
          .micro_batches = options.micro_batches,
          .counts_size = options.counts_size,
          .bf16_wire = options.fssdp.gather_dtype == "bf16",
          .algorithm = collectives::sparse_algorithm(options.fssdp.sparse_algorithm),
          .dispatcher = {.groups = std::move(groups),
                         .policy = strategy.dispatch(),
                         .algorithm =
                             collectives::exchange_algorithm(options.fssdp.exchange_algorithm)},
          .after_gate = nullptr};
}

}  // namespace

ShardedModel::ShardedModel(const models::ModelConfig& model, const models::ParameterLayout& layout,
                           const collectives::Communicator& world,
                           const collectives::Topology& topology, MemoryLedger& ledger,
                           const ShardedOptions& options)
    : world_(world, world_options(options)),
      lanes_(sharding::exec::domain_lanes(world_, topology)),
      ledger_(&ledger),
      loads_(sharding::LoadShape{}) {
  const ExpertChunks chunks = models::expert_chunks(layout);
  HECATE_CHECK(chunks.count() > 0, "strategy ", options.strategy,
               ": the model has no layer with experts (model.moe_layers = ", model.moe_layers, ")");
  strategy_ = options.factory(options.strategy, strategy_inputs(model, chunks, lanes_, options));
  sharding::LoadShape shape{.layers = static_cast<int>(chunks.layers),
                            .sources = world.size(),
                            .experts = static_cast<int>(chunks.experts)};
  loads_ = sharding::StepLoads(shape);
  shape.sources = lanes_.size();
  tracker_.emplace(shape, static_cast<int>(options.fssdp.window), options.fssdp.forecast);
  dense_ = std::make_unique<sharding::exec::DenseShards>(
      lanes_.dense, ledger,
      options.fssdp.dense == "zero3"
          ? models::dense_buckets_in_rings(layout, model, options.fssdp.prefetch_depth)
          : models::dense_buckets(layout, model.layers),
      true);
  experts_ = std::make_unique<sharding::exec::ExpertStore>(
      ledger, chunks, strategy_->initial_owners(), lanes_.rank(),
      sharding::exec::StateShare{.index = lanes_.replicas.rank(), .count = lanes_.domains()},
      sharding::exec::Residence{.holders = strategy_->residents(),
                                .slots = strategy_->resident_slots(),
                                .sliced = strategy_->slices_experts()});
  initial_strategy_ = strategy_->state();
  storage_ = std::make_unique<models::ShardedStorage>(layout, *dense_, *experts_);
  sharding::exec::ExpertRuntimeOptions runtime = runtime_options(*strategy_, options);
  if (strategy_->plans_after_gate())
    runtime.after_gate = [this](int64_t layer, const collectives::Placement& placement,
                                std::span<const int64_t> counts) {
      return strategy_->plan_after_gate(static_cast<int>(layer), owners(), placement, counts);
    };
  if (strategy_->splits_rows())
    runtime.split = [this](int64_t layer, const collectives::Placement& placement,
                           std::span<const int64_t> counts) {
      return strategy_->split_rows(counts, owners().layer(static_cast<int>(layer)), placement);
    };
  training_ = std::make_unique<sharding::exec::ExpertRuntime>(lanes_, *experts_, ledger, runtime);
  runtime.after_gate = nullptr;
  runtime.split = nullptr;
  runtime.training = false;
  runtime.slots = owners_only_slots();
  if (runtime.slots > 0) runtime.lender = &training_->materializer();
  evaluating_ = std::make_unique<sharding::exec::ExpertRuntime>(lanes_, *experts_, ledger, runtime);
}

// Experts of a layer that a rank must materialize to compute those that it owns.
int ShardedModel::owners_only_slots() const {
  if (!experts_->sliced()) return 0;
  int most = 0;
  for (int l = 0; l < owners().layers(); ++l)
    for (int rank = 0; rank < owners().devices(); ++rank)
      most = std::max(most, static_cast<int>(std::ranges::count(owners().layer(l), rank)));
  return most;
}

void ShardedModel::begin_step() {
  const double begin = now();
  const auto plan = strategy_->plan_step(experts_->owners(), *tracker_);
  training_->prepare(plan, strategy_->copies());
  std::fill(loads_.counts.begin(), loads_.counts.end(), 0);
  report_.planning_seconds += now() - begin;
}

void ShardedModel::end_micro_batch() {
  training_->add_loads(loads_);
  count_layers();
}

void ShardedModel::count_layers() {
  const std::optional<sharding::LayerCost>& cost = strategy_->inputs().cost;
  report_.layers.resize(static_cast<size_t>(experts_->chunks().layers));
  for (int l = 0; l < owners().layers(); ++l) {
    const sharding::exec::TokenDispatcher& dispatcher = training_->dispatcher(l);
    report_.layers[static_cast<size_t>(l)].add({.kept = dispatcher.domain_kept(),
                                                .owner = owners().layer(l),
                                                .devices = lanes_.size(),
                                                .placement = &placement(l),
                                                .plan = &dispatcher.planned(),
                                                .cost = cost ? &*cost : nullptr,
                                                .strategy = strategy_.get()});
  }
}

void ShardedModel::compare_forecast(const sharding::StepLoads& loads) {
  for (int l = 0; l < loads.shape.layers; ++l)
    report_.layers[static_cast<size_t>(l)].forecast_error =
        forecast_error(tracker_->forecast(l), loads.layer(l));
}

void ShardedModel::begin_evaluation() {
  evaluating_->prepare_owners_only();
}

bool ShardedModel::end_step(int64_t step) {
  const double begin = now();
  const sharding::StepLoads loads = domain_loads();
  compare_forecast(loads);
  tracker_->record(loads);
  const std::optional<sharding::Ownership> owners =
      strategy_->next_owners(step, experts_->owners(), *tracker_);
  report_.planning_seconds += now() - begin;
  if (!owners) return false;
  const double planned = now();
  report_.reshard =
      sharding::exec::reshard(*experts_, *owners, lanes_, *ledger_, strategy_->residents());
  report_.reshard_seconds += now() - planned;
  if (!report_.reshard.changed) return false;
  storage_->refresh();
  return true;
}

// Owners are the same in all domains, and so are the plans: they follow from the mean over the
// domains of what each place's rank sent, rounded.
sharding::StepLoads ShardedModel::domain_loads() const {
  const collectives::Mesh& mesh = world_.mesh();
  sharding::StepLoads mean(tracker_->shape());
  const auto experts = static_cast<size_t>(mean.shape.experts);
  for (int l = 0; l < mean.shape.layers; ++l) {
    const std::span<const int64_t> all = loads_.layer(l);
    const std::span<int64_t> places = mean.layer(l);
    for (size_t i = 0; i < all.size(); ++i)
      places[static_cast<size_t>(mesh.place_of(static_cast<int>(i / experts))) * experts +
             i % experts] += all[i];
    for (int64_t& load : places) load = (load + lanes_.domains() / 2) / lanes_.domains();
  }
  return mean;
}

ShardedReport ShardedModel::take_report() {
  report_.calibration = training_->take_calibration();
  report_.planning_seconds += report_.calibration.seconds;
  for (int64_t l = 0; l < experts_->chunks().layers; ++l)
    report_.exchange += training_->dispatcher(l).take_statistics();
  return std::exchange(report_, {});
}

ShardedModel::State ShardedModel::state() const {
  State state;
  state.owners.assign(owners().all().begin(), owners().all().end());
  state.tracker = tracker_->serialise();
  state.strategy = strategy_->state();
  return state;
}

void ShardedModel::restore(const State& state) {
  const sharding::Ownership& present = owners();
  std::vector<int> owner(state.owners.begin(), state.owners.end());
  bool fits = owner.size() == present.all().size();
  for (int rank : owner) fits = fits && rank >= 0 && rank < present.devices();
  if (fits) {
    try {
      strategy_->restore(state.strategy);
      const int layers = present.layers(), experts = present.experts();
      experts_->change_owners(
          strategy_->keeps_replicas()
              ? sharding::Ownership::uneven(layers, experts, present.devices(), owner)
              : sharding::Ownership(layers, experts, present.devices(), owner),
          strategy_->residents());
    } catch (const InvalidArgument&) {
      fits = false;  // written by another number of ranks, or another strategy
    }
  }
  if (!fits) {
    strategy_->restore(initial_strategy_);
    experts_->change_owners(strategy_->initial_owners(), strategy_->residents());
  }
  if (!state.tracker.empty()) tracker_->restore(state.tracker);
  storage_->refresh();
}

}  // namespace hecate::launcher
