#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "collectives/communicator.h"
#include "collectives/sparse_schedule.h"
#include "collectives/topology.h"
#include "sharding/exec/expert_store.h"

/// Carries out materialized placements: spAG of parameters before use, spRS of gradients after.
/// Source: sparse materialization and re-materialization, arXiv 2502.02581, sections 3 and 4.
namespace hecate::sharding::exec {

class Materializer;

struct MaterializerOptions {
  int64_t slots = 0;            ///< experts that a rank can hold of a layer besides its own
  int64_t parameter_rings = 1;  ///< layers whose materialized parameters exist at a time
  int64_t gradient_rings = 1;   ///< layers whose replica gradients exist at a time
  bool training = true;         ///< gradients are needed
  bool accumulate = false;      ///< over a step's micro-batches, before they are reduced
  bool bf16_wire = false;       ///< gather parameters rounded to bf16
  collectives::SparseAlgorithm algorithm = collectives::SparseAlgorithm::automatic;
  /// Whose memory of parameters is used, for one that never works at the same time; it has as many
  /// rings and at least as many slots.
  const Materializer* lender = nullptr;
};

/// Materialized experts of one rank. Memory is `rings` buffers of `slots` chunks; which ring a
/// layer uses is its caller's business (the step graph orders what shares one). gather,
/// gather_again, extend and reduce are collectives of the domain: all ranks must call, layers in
/// the same order.
///
/// A layer's plan may grow while a step runs (calibration): widen() and narrow() decide, extend()
/// brings what is new. They touch nothing that gather() reads, so the two may run at once.
///
/// Where the store has replicas, plans hold these too: nothing is gathered for them, and reduce()
/// gives them the sums of gradients as it does their owners. Where it has slices of experts, every
/// holder of the plan gets all ranks' slices, and every rank the sum of its slice's gradients on
/// top of what is there; plans then need not hold the owners, and do not grow.
class Materializer {
 public:
  /// @param sparse the lane that plans are carried out on. Everything outlives the object.
  Materializer(ExpertStore& store, const collectives::Communicator& sparse,
               const collectives::Topology& topology, MemoryLedger& ledger,
               const MaterializerOptions& options);

  /// The placements of the coming step, one per MoE layer; schedules are worked out here.
  /// @throws InvalidArgument where a layer's owners are no holders or slots do not suffice.
  void prepare(const std::vector<collectives::Placement>& placements);
  /// Of the layer now: as prepared, and what widen() added.
  const collectives::Placement& placement(int64_t layer) const {
    return layers_[static_cast<size_t>(layer)].placement;
  }
  /// Adds holders: the layer's P' grows to `placement`. Local.
  /// @throws InvalidArgument where a holder is missing in `placement` or slots do not suffice.
  void widen(int64_t layer, const collectives::Placement& placement);
  /// Back to what prepare() was given. Local.
  void narrow(int64_t layer);

  /// Fills the layer's materialized experts in `ring`, those of prepare(). Blocks.
  void gather(int64_t layer, int64_t ring);
  /// The same for all that the layer has now.
  void gather_again(int64_t layer, int64_t ring);
  /// Fills what widen() has added since the last call. With `accumulate` its gradients start from
  /// zero. Blocks.
  void extend(const collectives::Communicator& communicator, int64_t layer, int64_t ring,
              int64_t gradient_ring);
  /// The layer's gradients of all holders are added up at their owners (and replicas). Blocks.
  void reduce(int64_t layer, int64_t ring);
  /// Sets the replica gradients of a ring's experts of `layer` to zero.
  void clear_gradients(int64_t layer, int64_t ring);

  /// Where the expert's parameters are: the owner's own, or in the ring; null where it is not held.
  Real* value(int64_t layer, int64_t expert, int64_t ring) const;
  /// The same for the gradient that the backward pass writes.
  Real* gradient(int64_t layer, int64_t expert, int64_t ring) const;

  const MaterializerOptions& options() const { return options_; }

 private:
  struct Layer {
    collectives::Placement planned{0, 1}, placement{0, 1};  // as prepared; now
    std::vector<int> slot_of;     // per expert as prepared, -1: owned or not held
    std::vector<int> wider_slot;  // the same of what was added since
    // Owners, and the holders that are still to be filled.
    collectives::Placement added{0, 1};
    collectives::SparseSchedule gather, reduce, spread;  // as prepared; spread: sums to replicas
    int64_t epoch = -1;                                  // of the store, when planned
  };

  enum class Way : uint8_t { gather, reduce, spread };

  void plan(int64_t layer, const collectives::Placement& placement);
  void check(int64_t layer, const collectives::Placement& placement) const;
  int slot(const Layer& layer, int64_t expert) const;
  void run_gather(const collectives::Communicator& communicator,
                  const collectives::SparseSchedule& schedule, std::span<void*> pointers);
  collectives::SparseSchedule schedule(int64_t layer, const collectives::Placement& placement,
                                       Way way) const;
  collectives::Placement receivers(int64_t layer, const collectives::Placement& placement,
                                   Way way) const;
  /// How many chunks of a collective an expert is.
  int parts() const { return store_->sliced() ? sparse_.size() : 1; }
  /// Fills pointers, [experts, parts], to the parts of whole(expert), which may be null, and of
  /// this rank's own slices own(expert).
  template <class Pointer, class Whole, class Own>
  void point(std::vector<Pointer>& pointers, const Whole& whole, const Own& own) const;
  /// This rank's own slices of whole experts, from the store or into its gradients.
  void copy_slices(int64_t layer, int64_t ring) const;
  void add_slices(int64_t layer, int64_t ring) const;
  bool lives_here(int64_t layer, int64_t expert) const {
    return !store_->sliced() && store_->resides(layer, expert);
  }
  void assign_slots(int64_t layer, const collectives::Placement& placement);
  Real* value_in(int64_t layer, int64_t expert, int64_t ring, int slot) const;
  size_t chunk_bytes() const {
    return static_cast<size_t>(store_->chunks().elements) * sizeof(Real);
  }
  Real* ring_chunk(Real* memory, int64_t rings, int64_t ring, int slot) const;

  ExpertStore* store_;
  collectives::Communicator sparse_;
  collectives::Topology topology_;
  MaterializerOptions options_;
  std::vector<Layer> layers_;
  MemoryBlock values_, gradients_;
  Real* ring_values_ = nullptr;            // its own, or the lender's
  std::vector<void*> pointers_, outputs_;  // scratch of the sparse lane
  std::vector<const void*> inputs_;
};

}  // namespace hecate::sharding::exec
