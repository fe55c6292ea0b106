#pragma once
#include <cstdint>
#include <vector>

#include "collectives/communicator.h"
#include "collectives/sparse_schedule.h"
#include "collectives/topology.h"
#include "sharding/exec/expert_store.h"

/// Carries out materialized placements: spAG of parameters before use, spRS of gradients after.
/// Source: sparse materialization and re-materialization, arXiv 2502.02581, sections 3 and 4.
namespace hecate::sharding::exec {

struct MaterializerOptions {
  int64_t slots = 0;            ///< experts that a rank can hold of a layer besides its own
  int64_t parameter_rings = 1;  ///< layers whose materialized parameters exist at a time
  int64_t gradient_rings = 1;   ///< layers whose replica gradients exist at a time
  bool training = true;         ///< gradients are needed
  bool bf16_wire = false;       ///< gather parameters rounded to bf16
  collectives::SparseAlgorithm algorithm = collectives::SparseAlgorithm::automatic;
};

/// Materialized experts of one rank. Memory is `rings` buffers of `slots` chunks; which ring a
/// layer uses is its caller's business (the step graph orders what shares one). gather, extend and
/// reduce are collectives of the domain: all ranks must call, layers in the same order.
class Materializer {
 public:
  /// @param sparse the lane that plans are carried out on. Everything outlives the object.
  Materializer(ExpertStore& store, const collectives::Communicator& sparse,
               const collectives::Topology& topology, MemoryLedger& ledger,
               const MaterializerOptions& options);

  /// The placements of the coming step, one per MoE layer; schedules are worked out here.
  /// @throws InvalidArgument where a layer's owners are no holders or slots do not suffice.
  void prepare(const std::vector<collectives::Placement>& placements);
  const collectives::Placement& placement(int64_t layer) const {
    return layers_[static_cast<size_t>(layer)].placement;
  }

  /// Fills the layer's materialized experts in `ring`. Blocks.
  void gather(int64_t layer, int64_t ring);
  /// Adds holders to a layer that is gathered (after calibration): P' grows to `placement`. Blocks.
  void extend(const collectives::Communicator& communicator, int64_t layer, int64_t ring,
              const collectives::Placement& placement);
  /// The layer's gradients of all holders are added up at their owners. Blocks.
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
    collectives::Placement placement{0, 1};
    std::vector<int> slot_of;  // per expert, -1: owned or not held
    collectives::SparseSchedule gather, reduce;
    int64_t epoch = -1;  // of the store, when planned
  };

  void plan(int64_t layer, const collectives::Placement& placement);
  collectives::SparseSchedule schedule(int64_t layer, const collectives::Placement& placement,
                                       bool reduce) const;
  void assign_slots(int64_t layer, const collectives::Placement& placement);
  Real* ring_chunk(const MemoryBlock& block, int64_t rings, int64_t ring, int slot) const;

  ExpertStore* store_;
  collectives::Communicator sparse_;
  collectives::Topology topology_;
  MaterializerOptions options_;
  std::vector<Layer> layers_;
  MemoryBlock values_, gradients_;
  std::vector<void*> pointers_, outputs_;  // scratch of the sparse lane
  std::vector<const void*> inputs_;
};

}  // namespace hecate::sharding::exec
