#include "launcher/train/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "models/layers/moe_gate.h"

namespace hecate::launcher {
namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void check_batch(int64_t sequences, const EngineOptions& options) {
  const int64_t at_once = options.micro_batch * options.ranks();
  HECATE_CHECK(
      options.micro_batch >= 1 && sequences >= 1 && sequences % at_once == 0,
      "train.global_batch = ", sequences,
      " is not a multiple of train.micro_batch = ", options.micro_batch, " x ", options.ranks(),
      " ranks; nearest: ", std::max<int64_t>(1, (sequences + at_once / 2) / at_once) * at_once);
}

const EngineOptions& checked(const EngineOptions& options) {
  options.model.validate();
  const int64_t at_once = options.micro_batch * options.ranks();
  check_batch(options.global_batch, options);
  HECATE_CHECK(options.router.balance_scope != "batch" || options.global_batch == at_once,
               "router.balance_scope = batch needs one micro-batch a step: train.micro_batch = ",
               options.micro_batch, " x ", options.ranks(),
               " ranks, train.global_batch = ", options.global_batch);
  return options;
}

}  // namespace

// The forward-only graph, made when the first evaluation asks for it.
struct Engine::Evaluator {
  models::TransformerGraph graph;
  graph::Executor executor;
  Batch batch;

  explicit Evaluator(Engine& engine)
      : graph(
            engine.options_.model, engine.options_.router, engine.layout_, engine.state_,
            {.sequences = engine.options_.micro_batch, .sequence = engine.options_.model.sequence},
            models::GraphMode::evaluate, engine.options_.mask_documents,
            engine.sharded_ ? engine.sharded_->evaluating() : models::Parallel{}),
        executor(graph.graph(), engine.lanes_, engine.ledger_,
                 {.pace_flops_per_s = engine.options_.pace_flops_per_s}),
        batch(engine.options_.micro_batch, engine.options_.model.sequence,
              engine.options_.mask_documents, engine.options_.slice()) {
    graph.bind_constants(executor);
    executor.bind_host(graph.inputs().tokens, batch.tokens_at(0));
    executor.bind_host(graph.inputs().targets, batch.targets_at(0));
  }
};

Engine::Engine(const EngineOptions& options)
    : options_(checked(options)),
      layout_(options.model),
      ledger_(options.dry ? 0 : options.memory_budget_bytes, options.dry, options.device),
      lanes_(options.threads, options.pace_flops_per_s == 0 && options.ranks() == 1, options.device,
             options.device_index),
      batch_(options.global_batch / options.ranks(), options.model.sequence, options.mask_documents,
             options.slice()) {
  make_storage();
  if (!options.dry) models::initialize(options.seed, *storage_);
  state_.parameters = storage_->table();
  state_.scalars.seed = options.seed;
  routing_ = models::make_routing_source(options.router.source,
                                         {.experts = options.model.experts,
                                          .top_k = options.model.top_k,
                                          .rank = options.rank(),
                                          .ranks = options.ranks(),
                                          .seed = options.seed,
                                          .moe_layers = options.model.expert_layers()});
  state_.routing = routing_.get();
  graph_ = std::make_unique<models::TransformerGraph>(
      options_.model, options_.router, layout_, state_,
      models::BatchShape{.sequences = options.micro_batch, .sequence = options.model.sequence},
      models::GraphMode::train, options.mask_documents,
      sharded_ ? sharded_->training() : models::Parallel{});
  optimizer_ = std::make_unique<models::OptimizerGraph>(
      options_.optimizer, options_.model, options_.router, *storage_, state_,
      sharded_ ? sharded_->dense_lane() : collectives::Communicator());
  const graph::ExecutorOptions executor{.pace_flops_per_s = options.pace_flops_per_s};
  step_ = std::make_unique<graph::Executor>(graph_->graph(), lanes_, ledger_, executor);
  graph_->bind_constants(*step_);
  update_ = std::make_unique<graph::Executor>(optimizer_->graph(), lanes_, ledger_, executor);
  optimizer_->bind(*update_);
}

void Engine::make_storage() {
  if (options_.ranks() == 1) {
    local_ = std::make_unique<models::LocalStorage>(layout_, ledger_, true);
    storage_ = local_.get();
    return;
  }
  ShardedOptions sharded = options_.sharded;
  sharded.micro_batches = options_.global_batch / (options_.micro_batch * options_.ranks());
  sharded.counts_size = models::routing_counts(options_.model, options_.router);
  sharded_ = std::make_unique<ShardedModel>(options_.model, layout_, options_.world,
                                            options_.topology, ledger_, sharded);
  storage_ = &sharded_->storage();
}

Engine::~Engine() = default;

std::optional<data::MaskingConfig> Engine::masking() const {
  if (options_.model.objective != "masked") return std::nullopt;
  data::MaskingConfig masking;
  masking.mask_id = static_cast<int32_t>(options_.model.vocabulary - 1);
  masking.random_ids = options_.mask_vocabulary;
  return masking;
}

void Engine::set_scalars(int64_t step, int64_t first_sequence, bool training) {
  models::StepScalars& scalars = state_.scalars;
  const int64_t sequence = options_.model.sequence;
  scalars.step = step;
  scalars.first_token = static_cast<int64_t>(options_.slice().position(first_sequence)) * sequence;
  scalars.local_token = first_sequence * sequence;
  scalars.global_tokens = options_.global_batch * sequence;
  scalars.local_tokens = scalars.global_tokens / options_.ranks();
  scalars.accumulate = first_sequence > 0;
  scalars.training = training;
}

void Engine::sum_over_ranks(std::span<double> values) const {
  if (!sharded_) return;
  sharded_->dense_lane()
      .all_reduce(values.data(), values.data(), std::ssize(values), DType::f64,
                  collectives::ReduceOp::sum)
      .wait();
}

void Engine::run_micro_batches(int64_t step) {
  const int64_t local_batch = batch_.sequences();
  for (int64_t first = 0; first < local_batch; first += options_.micro_batch) {
    set_scalars(step, first, true);
    step_->bind_host(graph_->inputs().tokens, batch_.tokens_at(first));
    step_->bind_host(graph_->inputs().targets, batch_.targets_at(first));
    if (options_.mask_documents)
      step_->bind_host(graph_->inputs().document_begin,
                       batch_.documents_at(first, options_.micro_batch));
    step_->run(first == 0, first + options_.micro_batch == local_batch);
    if (sharded_) sharded_->end_micro_batch();
    result_->flops += add_timings(*step_, *result_);
    add_waits(*step_, *result_);
    record(step, first / options_.micro_batch, *step_);
  }
}

void Engine::record(int64_t step, int64_t micro_batch, const graph::Executor& executor) const {
  if (recorder_ != nullptr && recorder_->wants(step + 1))
    recorder_->record(step + 1, micro_batch, executor, resident_bytes());
}

// Without the arenas and pools of a training step's executors.
MemoryBytes Engine::resident_bytes() const {
  MemoryBytes bytes = ledger_.current();
  int64_t& activations = bytes[static_cast<size_t>(MemoryCategory::activations)];
  for (const graph::Executor* executor : {step_.get(), update_.get()})
    activations -= executor->plan().arena_bytes + executor->pool_held_bytes();
  return bytes;
}

void Engine::restore_placement(const ShardedModel::State& state) {
  sharded_->restore(state);
  optimizer_->refresh();
}

void Engine::set_global_batch(int64_t sequences) {
  if (sequences == options_.global_batch) return;
  check_batch(sequences, options_);
  options_.global_batch = sequences;
  batch_.resize(sequences / options_.ranks());
}

void Engine::load(const data::Loader& loader, uint64_t first_sample) {
  const auto begin = std::chrono::steady_clock::now();
  batch_.load(loader, first_sample, options_.seed, masking());
  data_seconds_ = seconds_since(begin);
}

StepResult Engine::train_step(int64_t step, double rate, double loss_limit) {
  StepResult result;
  result_ = &result;
  const auto begin = std::chrono::steady_clock::now();
  const collectives::Traffic before = traffic();
  auto valid = static_cast<double>(batch_.valid_tokens());
  sum_over_ranks({&valid, 1});
  state_.statistics.reset();
  state_.scalars.loss_scale = valid > 0 ? 1.0 / valid : 0;
  if (sharded_) sharded_->begin_step();
  run_micro_batches(step);
  result.tokens = options_.global_batch * options_.model.sequence;
  const double waited =
      std::accumulate(result.waited_by_kind.begin(), result.waited_by_kind.end(), 0.0);
  sum_statistics(result);
  run_update(step, rate, loss_limit, result);
  if (sharded_) {
    if (sharded_->end_step(step + 1)) optimizer_->refresh();
    result.sharded = sharded_->take_report();
  }
  result.data_seconds = std::exchange(data_seconds_, 0);
  share_step(before, waited, result);
  result.seconds = seconds_since(begin) + result.data_seconds;
  return result;
}

void Engine::share_step(const collectives::Traffic& before, double waited,
                        StepResult& result) const {
  const auto nanoseconds = [](double seconds) { return std::llround(1e9 * seconds); };
  result.ranks.resize(static_cast<size_t>(options_.ranks()));
  result.ranks[static_cast<size_t>(options_.rank())] = {
      .compute_ns = nanoseconds(result.compute_seconds),
      .waited_ns = nanoseconds(waited),
      .data_ns = nanoseconds(result.data_seconds),
      .peak_total_bytes = ledger_.peak_total(),
      .peak_bytes = peak_bytes()};
  if (!sharded_) return;
  result.own_traffic = traffic();
  result.own_traffic -= before;
  result.traffic = sum_traffic(result.own_traffic, sharded_->dense_lane(), result.ranks);
}

collectives::Traffic Engine::traffic() const {
  return sharded_ ? sharded_->dense_lane().traffic() : collectives::Traffic();
}

// Afterwards every rank's statistics are those of the global batch.
void Engine::sum_statistics(StepResult& result) {
  std::vector<double> sums = {state_.statistics.loss_sum, 0};
  for (const models::MoeStatistics& layer : state_.statistics.layers) {
    sums[1] += layer.balance_loss + layer.z_loss;
    sums.push_back(static_cast<double>(layer.dropped));
  }
  const size_t waits = sums.size();
  sums.insert(sums.end(), result.waited_by_kind.begin(), result.waited_by_kind.end());
  sum_over_ranks(sums);
  for (size_t kind = 0; kind < graph::kOpKinds; ++kind)
    result.waited_by_kind[kind] = sums[waits + kind] / static_cast<double>(options_.ranks());
  result.loss = sums[0] * state_.scalars.loss_scale;
  result.auxiliary_loss = sums[1];
  for (size_t i = 0; i < state_.statistics.layers.size(); ++i)
    state_.statistics.layers[i].dropped = static_cast<int64_t>(sums[2 + i]);
}

void Engine::run_update(int64_t step, double rate, double loss_limit, StepResult& result) {
  const bool finite = std::isfinite(result.loss + result.auxiliary_loss);
  const bool apply = finite && result.loss <= loss_limit;
  optimizer_->prepare(rate, step + 1, apply);
  update_->run();
  add_timings(*update_, result);
  record(step, -1, *update_);
  const models::UpdateReport& report = optimizer_->report();
  result.gradient_norm = report.gradient_norm;
  result.rate_factor = report.rate_factor;
  if (!finite)
    result.not_finite = "loss";
  else if (report.bad >= 0)
    result.not_finite = layout_.spec(report.bad).name;
  result.updated = apply && report.bad < 0;
}

double Engine::add_timings(const graph::Executor& executor, StepResult& result) const {
  double flops = 0;
  const auto& ops = executor.graph().ops();
  for (size_t i = 0; i < ops.size(); ++i) {
    const graph::OpTiming& timing = executor.timings()[i];
    if (timing.begin == 0) continue;
    const double seconds = 1e-9 * static_cast<double>(timing.end - timing.begin);
    result.seconds_by_kind[static_cast<size_t>(ops[i].kind)] += seconds;
    if (ops[i].lane == LaneKind::compute) result.compute_seconds += seconds;
    const graph::OpCost& cost = ops[i].cost;
    flops += cost.flops;
    if (cost.rows.valid())
      flops += cost.flops_per_row *
               static_cast<double>(executor.rows()[static_cast<size_t>(cost.rows.index)]);
  }
  return flops;
}

void Engine::add_waits(const graph::Executor& executor, StepResult& result) const {
  const auto& ops = executor.graph().ops();
  const auto& timings = executor.timings();
  int64_t free_since = 0;
  for (size_t i = 0; i < ops.size(); ++i) {
    if (ops[i].lane != LaneKind::compute || timings[i].begin == 0) continue;
    const graph::Op* last = nullptr;
    int64_t ready = free_since;
    for (int32_t other : ops[i].depends_on) {
      const auto index = static_cast<size_t>(other);
      if (ops[index].lane == LaneKind::compute || timings[index].end <= ready) continue;
      ready = timings[index].end;
      last = &ops[index];
    }
    if (last != nullptr && free_since > 0)
      result.waited_by_kind[static_cast<size_t>(last->kind)] +=
          1e-9 * static_cast<double>(ready - free_since);
    free_since = timings[i].end;
  }
}

EvaluationResult Engine::evaluate(const data::Validation& validation, uint64_t windows) {
  if (!evaluator_) evaluator_ = std::make_unique<Evaluator>(*this);
  const uint64_t count =
      windows == 0 ? validation.windows() : std::min(windows, validation.windows());
  const models::StepStatistics kept = state_.statistics;
  state_.statistics.reset();
  if (sharded_) sharded_->begin_evaluation();
  const auto at_once = static_cast<uint64_t>(options_.micro_batch * options_.ranks());
  Batch& batch = evaluator_->batch;
  for (uint64_t first = 0; first < count; first += at_once) {
    batch.load(validation, first, options_.seed, masking());
    set_scalars(0, 0, false);
    run_evaluator(batch, 0, first == 0, first + at_once >= count);
  }
  std::array<double, 2> sums = {state_.statistics.loss_sum,
                                static_cast<double>(state_.statistics.valid_tokens)};
  sum_over_ranks(sums);
  EvaluationResult result;
  result.targets = static_cast<int64_t>(sums[1]);
  result.loss = sums[0] / std::max(1.0, sums[1]);
  // Masked models predict a sample of the tokens: no code length of the text.
  if (validation.bytes() > 0 && options_.model.objective == "causal")
    result.bits_per_byte = result.loss / std::numbers::ln2 *
                           static_cast<double>(validation.targets()) /
                           static_cast<double>(validation.bytes());
  state_.statistics = kept;
  return result;
}

void Engine::run_evaluator(Batch& batch, int64_t first_sequence, bool first, bool last) {
  graph::Executor& executor = evaluator_->executor;
  const models::GraphInputs& inputs = evaluator_->graph.inputs();
  executor.bind_host(inputs.tokens, batch.tokens_at(first_sequence));
  executor.bind_host(inputs.targets, batch.targets_at(first_sequence));
  if (options_.mask_documents)
    executor.bind_host(inputs.document_begin,
                       batch.documents_at(first_sequence, options_.micro_batch));
  executor.run(first, last);
}

std::string Engine::find_not_finite(int64_t step) {
  // Within a budget another graph might not fit, and that error would hide the cause.
  if (!evaluator_ && options_.memory_budget_bytes > 0) return {};
  if (!evaluator_) evaluator_ = std::make_unique<Evaluator>(*this);
  const models::StepStatistics kept = state_.statistics;
  if (sharded_) sharded_->begin_evaluation();
  graph::Executor& executor = evaluator_->executor;
  executor.check_finite(true);
  for (int64_t first = 0; first < batch_.sequences(); first += options_.micro_batch) {
    set_scalars(step, first, true);
    run_evaluator(batch_, first, first == 0, first + options_.micro_batch == batch_.sequences());
  }
  executor.check_finite(false);
  state_.statistics = kept;
  const auto& ops = evaluator_->graph.graph().ops();
  const int32_t found = executor.not_finite().op;
  double op = static_cast<double>(found < 0 ? std::ssize(ops) : found);
  if (sharded_)
    sharded_->dense_lane().all_reduce(&op, &op, 1, DType::f64, collectives::ReduceOp::min).wait();
  return op < static_cast<double>(ops.size()) ? ops[static_cast<size_t>(op)].name : std::string();
}

MemoryBytes Engine::peak_bytes() const {
  MemoryBytes bytes = ledger_.peak();
  if (sharded_)
    bytes[static_cast<size_t>(MemoryCategory::communicator)] +=
        sharded_->dense_lane().peak_scratch_bytes();
  return bytes;
}

MemoryBytes Engine::predicted_bytes(double load_factor) const {
  MemoryBytes bytes = ledger_.current();
  std::vector<int64_t> rows = graph_->graph().expected_rows();
  for (int64_t& each : rows)
    each = static_cast<int64_t>(std::ceil(load_factor * static_cast<double>(each)));
  const int64_t pooled = graph::plan_memory(graph_->graph(), rows).pooled_bytes;
  int64_t& activations = bytes[static_cast<size_t>(MemoryCategory::activations)];
  activations += std::max<int64_t>(0, pooled - step_->pool_held_bytes());
  return bytes;
}

int64_t Engine::allocations() const {
  return ledger_.charges() + step_->pool_growths() + update_->pool_growths();
}

}  // namespace hecate::launcher
