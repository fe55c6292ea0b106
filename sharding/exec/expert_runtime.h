#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "sharding/exec/domain_lanes.h"
#include "sharding/exec/expert_replicas.h"
#include "sharding/exec/expert_store.h"
#include "sharding/exec/materializer.h"
#include "sharding/exec/token_dispatcher.h"
#include "sharding/loads.h"

/// What the graph of a model needs to run its experts over the ranks of a domain.
namespace hecate::sharding::exec {

/// A layer's wider placement for the rest of the step, once its gate has chosen; nothing: as it is.
/// Pure: the ranks of a domain must answer alike.
/// @param counts [places of the domain, experts] of the micro-batch, after drops.
using AfterGate = std::function<std::optional<collectives::Placement>(
    int64_t layer, const collectives::Placement& placement, std::span<const int64_t> counts)>;

/// Rows of a layer's experts on their holders. Pure, as AfterGate.
using RowSplit = std::function<HolderRows(int64_t layer, const collectives::Placement& placement,
                                          std::span<const int64_t> counts)>;

/// What was decided after the gates since the last take, the same on a domain's ranks but for
/// seconds.
struct CalibrationStatistics {
  int64_t layers = 0;  ///< whose placement grew; summed over micro-batches
  int64_t copies = 0;  ///< that were added
  double seconds = 0;  ///< of deciding
};

struct ExpertRuntimeOptions {
  bool training = true;
  /// Materialized parameters are given back after a layer's forward and gathered again for its
  /// backward (re-materialization).
  bool release = false;
  int64_t prefetch_depth = 1;  ///< with release: layers gathered ahead of the one in use
  int64_t slots = 0;           ///< m: experts of a layer that a rank can hold besides its own
  int64_t micro_batches = 1;   ///< per step
  int64_t counts_size = 0;     ///< of TokenDispatcher
  bool bf16_wire = false;
  collectives::SparseAlgorithm algorithm = collectives::SparseAlgorithm::automatic;
  DispatcherOptions dispatcher;
  AfterGate after_gate = nullptr;  ///< null: plans are not corrected
  RowSplit split = nullptr;        ///< null: the dispatcher's policy
  /// Whose memory of materialized parameters is used, by one that never runs at the same time.
  const Materializer* lender = nullptr;
};

class ExpertRuntime {
 public:
  /// All ranks must agree on everything but their rank.
  ExpertRuntime(const DomainLanes& lanes, ExpertStore& store, MemoryLedger& ledger,
                const ExpertRuntimeOptions& options);

  const ExpertRuntimeOptions& options() const { return options_; }
  const DomainLanes& lanes() const { return lanes_; }
  ExpertStore& store() { return *store_; }
  Materializer& materializer() { return materializer_; }
  /// Of the experts in other domains.
  ExpertReplicas& replicas() { return replicas_; }
  /// Of MoE layer `layer`.
  TokenDispatcher& dispatcher(int64_t layer) { return *dispatchers_[static_cast<size_t>(layer)]; }

  /// Whether any step materializes anything: without slots no gather is put into a graph.
  bool materializes() const { return options_.slots > 0; }
  /// Whether gradients are summed over ranks of the domain.
  bool reduces() const { return materializes() || store_->replicated(); }
  /// Bytes of a layer's gradients that a rank adds to sums at most, in the mean of the layers.
  int64_t reduced_bytes() const;
  /// Whether placements may grow after the gate.
  bool calibrates() const { return materializes() && options_.after_gate != nullptr; }
  /// Which buffer of materialized parameters a layer uses, forward and backward.
  int64_t parameter_ring(int64_t layer) const {
    return layer % materializer_.options().parameter_rings;
  }
  int64_t gradient_ring(int64_t layer) const {
    return layer % materializer_.options().gradient_rings;
  }
  /// Gathers once per step and reduces after its last micro-batch; else for every micro-batch.
  bool once_per_step() const { return !options_.release; }

  /// Placements of the coming step.
  /// @param copies per layer, as in plan_dispatch; or none.
  void prepare(const std::vector<collectives::Placement>& placements,
               std::vector<std::vector<int>> copies = {});
  /// Of the layer, as prepared.
  std::span<const int> copies(int64_t layer) const {
    if (copies_.empty()) return {};
    return copies_[static_cast<size_t>(layer)];
  }
  /// Every expert at its owner alone.
  void prepare_owners_only();

  /// After the layer's dispatcher has admitted the micro-batch: its placement grows where that
  /// pays. With release, every micro-batch starts from the prepared one.
  void calibrate(int64_t layer);
  CalibrationStatistics take_calibration() { return std::exchange(calibration_, {}); }

  /// Adds what the micro-batch's dispatchers kept to `loads` (sources are all ranks).
  void add_loads(StepLoads& loads) const;

 private:
  DomainLanes lanes_;
  ExpertStore* store_;
  ExpertRuntimeOptions options_;
  Materializer materializer_;
  ExpertReplicas replicas_;
  std::vector<std::vector<int>> copies_;
  CalibrationStatistics calibration_;
  std::vector<std::unique_ptr<TokenDispatcher>> dispatchers_;
};

}  // namespace hecate::sharding::exec
