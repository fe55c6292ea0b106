#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "collectives/communicator.h"
#include "collectives/topology.h"
#include "launcher/train/batch.h"
#include "launcher/train/sharded_model.h"
#include "launcher/train/step_traffic.h"
#include "models/optimizer.h"
#include "models/storage.h"
#include "models/transformer.h"
#include "runtime/data/loader.h"
#include "runtime/graph/executor.h"
#include "runtime/trace/timeline.h"

namespace hecate::launcher {

struct EngineOptions {
  models::ModelConfig model;  ///< vocabulary known
  models::RouterConfig router;
  models::OptimizerConfig optimizer;
  uint64_t seed = 0;
  int64_t global_batch = 1;  ///< sequences per step, over all ranks
  int64_t micro_batch = 1;   ///< sequences per rank and run of the graph
  bool mask_documents = false;
  int64_t mask_vocabulary = 0;  ///< masked models: ids below it are text, the last id is the mask
  int threads = 1;
  double pace_flops_per_s = 0;
  DeviceKind device = DeviceKind::cpu;
  int device_index = 0;  ///< of the CUDA devices that this process sees
  int64_t memory_budget_bytes = 0;
  /// Memory is counted but not there: the engine can be asked what it would hold, nothing else.
  bool dry = false;
  /// All ranks, any lane; empty: one rank.
  collectives::Communicator world;
  collectives::Topology topology;  ///< of `world`
  ShardedOptions sharded;          ///< with `world`; micro_batches and counts_size are filled in

  int64_t rank() const { return world ? world.rank() : 0; }
  int64_t ranks() const { return world ? world.size() : 1; }
  RankSlice slice() const { return {.rank = rank(), .ranks = ranks(), .micro_batch = micro_batch}; }
};

/// What one step did.
struct StepResult {
  double loss = 0;            ///< cross-entropy per valid token, nats
  double auxiliary_loss = 0;  ///< balance and z losses, summed over layers
  double gradient_norm = 0;
  double rate_factor = 1;  ///< UpdateReport::rate_factor
  int64_t tokens = 0;
  double seconds = 0;
  double data_seconds = 0;
  double flops = 0;
  std::array<double, graph::kOpKinds> seconds_by_kind{};
  double compute_seconds = 0;  ///< this rank's compute lane was busy
  /// What the compute lane stood still for, by the kind of the operation that came last; mean of
  /// the ranks.
  std::array<double, graph::kOpKinds> waited_by_kind{};
  bool updated = false;  ///< parameters moved
  /// "loss", or the parameter whose gradient is not finite (UpdateReport::bad); empty: all finite.
  std::string not_finite;
  ShardedReport sharded;             ///< of this rank; zero on one rank
  StepTraffic traffic;               ///< zero on one rank; what adds it up is not in it
  std::vector<RankVitals> ranks;     ///< per rank of the job
  collectives::Traffic own_traffic;  ///< of this rank, by rank of the job; empty on one rank
};

struct EvaluationResult {
  double loss = 0;           ///< nats per target
  double bits_per_byte = 0;  ///< 0: the data does not say how many bytes it has
  int64_t targets = 0;
};

/// One rank's model, optimizer and lanes: runs steps, knows nothing of files or the terminal. With
/// several ranks, all call load, train_step and evaluate alike; results are the same on all of them
/// but for what is said to be a rank's own.
class Engine {
 public:
  /// Parameters are initialised from the seed.
  /// @throws InvalidArgument for impossible options, DeviceError when memory is short.
  explicit Engine(const EngineOptions& options);
  ~Engine();

  /// Sequences of the next steps, over all ranks. @throws InvalidArgument if they are no multiple
  /// of what runs at once; then nothing has changed.
  void set_global_batch(int64_t sequences);
  /// Fills the batch of the next step with this rank's part of samples [first_sample, first_sample
  /// + global_batch).
  void load(const data::Loader& loader, uint64_t first_sample);
  /// The batch of the next step, for callers that fill it themselves.
  Batch& batch() { return batch_; }
  /// Step number `step` (0 first) on the batch.
  /// @param loss_limit parameters are not updated when the loss is above it.
  StepResult train_step(int64_t step, double rate, double loss_limit);
  /// After a step whose loss was not finite, on the same batch: the name of the first operation of
  /// the forward pass with a tensor that is not, such as layers.3.ffn.experts.up; empty if this
  /// time all are, or the memory budget leaves no room to look. All ranks must call.
  std::string find_not_finite(int64_t step);
  /// Every run of a graph in train_step() is recorded from now on, as one of step `step` + 1, in
  /// the steps that the recorder wants; it outlives the engine. Null: no more.
  void record(trace::TimelineRecorder* recorder) { recorder_ = recorder; }
  /// Over the first `windows` windows of the validation part, rounded up to whole micro-batches;
  /// 0 = all.
  EvaluationResult evaluate(const data::Validation& validation, uint64_t windows = 0);

  const EngineOptions& options() const { return options_; }
  const models::ParameterLayout& layout() const { return layout_; }
  models::Storage& storage() { return *storage_; }
  /// Null on one rank.
  ShardedModel* sharded() { return sharded_.get(); }
  /// OptimizerGraph::rate_factor.
  double rate_factor() const { return optimizer_->rate_factor(); }
  void set_rate_factor(double factor) { optimizer_->set_rate_factor(factor); }
  /// Before tensors are loaded from a checkpoint: owners and what plans follow from.
  void restore_placement(const ShardedModel::State& state);
  /// Replaces routing by the router's source (for tests that pin it); outlives the engine.
  void pin_routing(models::RoutingSource* source) { state_.routing = source; }
  const models::StepStatistics& statistics() const { return state_.statistics; }
  MemoryLedger& ledger() { return ledger_; }
  const graph::Executor& step_executor() const { return *step_; }
  const graph::Executor& update_executor() const { return *update_; }
  ThreadPool& compute_pool() { return lanes_.compute_pool(); }
  /// Peak of each category since the start, communication's scratch memory included.
  MemoryBytes peak_bytes() const;
  /// What the rank holds at most in a step whose rows are `load_factor` times what even routing
  /// gives, by category. Does not count evaluation.
  MemoryBytes predicted_bytes(double load_factor = 1) const;
  /// Pool growth and ledger charges so far: constant over steps that allocate nothing.
  int64_t allocations() const;

 private:
  struct Evaluator;

  void run_micro_batches(int64_t step);
  void run_update(int64_t step, double rate, double loss_limit, StepResult& result);
  void sum_statistics(StepResult& result);
  /// Traffic and vitals of all ranks. @param before this rank's traffic when the step began.
  void share_step(const collectives::Traffic& before, double waited, StepResult& result) const;
  /// Of this rank, since its world opened.
  collectives::Traffic traffic() const;
  void run_evaluator(Batch& batch, int64_t first_sequence, bool first, bool last);
  void make_storage();
  /// Sums over ranks, in place.
  void sum_over_ranks(std::span<double> values) const;
  void set_scalars(int64_t step, int64_t first_sequence, bool training);
  double add_timings(const graph::Executor& executor, StepResult& result) const;
  void add_waits(const graph::Executor& executor, StepResult& result) const;
  void record(int64_t step, int64_t micro_batch, const graph::Executor& executor) const;
  MemoryBytes resident_bytes() const;
  std::optional<data::MaskingConfig> masking() const;

  EngineOptions options_;
  models::ParameterLayout layout_;
  MemoryLedger ledger_;
  graph::LaneSet lanes_;
  std::unique_ptr<models::LocalStorage> local_;
  std::unique_ptr<ShardedModel> sharded_;
  models::Storage* storage_ = nullptr;  // one of the two above
  models::ModelState state_;
  std::unique_ptr<models::RoutingSource> routing_;
  std::unique_ptr<models::TransformerGraph> graph_;
  std::unique_ptr<graph::Executor> step_;
  std::unique_ptr<models::OptimizerGraph> optimizer_;
  std::unique_ptr<graph::Executor> update_;
  std::unique_ptr<Evaluator> evaluator_;
  Batch batch_;
  double data_seconds_ = 0;
  StepResult* result_ = nullptr;
  trace::TimelineRecorder* recorder_ = nullptr;
};

}  // namespace hecate::launcher
