#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/real.h"
#include "runtime/memory/ledger.h"
#include "sharding/exec/element_range.h"
#include "sharding/exec/expert_chunks.h"
#include "sharding/ownership.h"

/// What one rank owns of the experts: masters, gradients and both moments, in slots that are shared
/// by all layers, so that owners can change without allocating. Where several domains have an owner
/// of each expert, these share its masters and moments: each has a slice of the chunk.
/// Source: heterogeneous sharding, arXiv 2502.02581, section 3.
///
/// Experts may live on more ranks than their owners (replicas, whose state is the owner's to the
/// bit as long as all get the same gradients), or in equal slices on all ranks of the domain
/// (fully sharded experts, arXiv 2602.11686).
namespace hecate::sharding::exec {

/// One chunk as a rank that it lives on has it; null elsewhere.
struct OwnedChunk {
  /// The whole chunk, which operations use; of sliced chunks the rank's portion.
  Real *value = nullptr, *gradient = nullptr;
  /// The rank's slice of it. Value and gradient are the ones above where the slice is all.
  Real *own_value = nullptr, *own_gradient = nullptr;
  Real *first_moment = nullptr, *second_moment = nullptr;
};

/// Which part of every chunk's state an owner has.
struct StateShare {
  int index = 0, count = 1;
};

/// Where chunks live from step to step.
struct Residence {
  /// Per layer, supersets of the owners; empty: at their owners alone.
  std::vector<collectives::Placement> holders = {};
  int64_t slots = 0;  ///< chunks that a rank has room for; 0: an even share, rounded up
  /// Every rank of the domain has a portion of every chunk instead, as even as part_of makes them.
  bool sliced = false;
};

class ExpertStore {
 public:
  /// All zeros. There is room for an even share of the chunks, rounded up: enough for any owners.
  /// @throws InvalidArgument when owners are of another shape; DeviceError when memory is short.
  /// @param owners of one domain: its places are the devices. @param rank place in the domain.
  ExpertStore(MemoryLedger& ledger, const ExpertChunks& chunks, Ownership owners, int rank,
              StateShare share = {}, Residence residence = {});

  const ExpertChunks& chunks() const { return chunks_; }
  const Ownership& owners() const { return owners_; }
  int rank() const { return rank_; }
  int owner(int64_t layer, int64_t expert) const {
    return owners_.owner(static_cast<int>(layer), static_cast<int>(expert));
  }
  const StateShare& share() const { return share_; }
  /// This rank's slice of any chunk, and the sizes of all owners' slices.
  const ElementRange& slice() const { return slice_; }
  std::span<const int64_t> slice_sizes() const { return slice_sizes_; }
  bool owns(int64_t layer, int64_t expert) const { return owner(layer, expert) == rank_; }
  /// Whether the rank has the chunk, or its portion of it, with its state.
  bool resides(int64_t layer, int64_t expert) const { return slot_of_[index(layer, expert)] >= 0; }
  /// Whether chunks live on more ranks than their owners.
  bool replicated() const { return !residence_.holders.empty(); }
  bool sliced() const { return residence_.sliced; }
  /// The ranks that a layer's whole chunks live on: the owners where they are not replicated.
  collectives::Placement holders(int layer) const;
  /// What of every chunk is at a place of the domain: all of it unless chunks are sliced.
  ElementRange portion_of(int place) const;
  OwnedChunk chunk(int64_t layer, int64_t expert) const;
  /// Chunks that the rank has room for.
  int64_t slots() const { return slots_; }
  /// The memory of a slot's gradient, a whole chunk; between a step's update and the next backward
  /// nothing in it is of worth.
  Real* gradient_slot(int64_t slot) const;
  /// Raised whenever owners change: what was derived from chunk() is stale then.
  int64_t epoch() const { return epoch_; }

  /// Takes over new owners: chunks that stay keep their memory, those that come have undefined
  /// contents until the caller fills them. Nothing is changed when it throws.
  /// @throws InvalidArgument when the shape differs or the rank would own more than slots().
  /// @param holders as in Residence.
  void change_owners(Ownership owners, std::vector<collectives::Placement> holders = {});
  /// Throws what change_owners would, and changes nothing.
  void check_room(const Ownership& owners,
                  std::span<const collectives::Placement> holders = {}) const;
  /// Sets the gradients of all that the rank has to zero.
  void clear_gradients();

 private:
  void allocate(MemoryLedger& ledger);
  size_t index(int64_t layer, int64_t expert) const {
    return static_cast<size_t>(layer * chunks_.experts + expert);
  }
  static void check(const ExpertChunks& chunks, const Ownership& owners);

  ExpertChunks chunks_;
  Ownership owners_;
  int rank_;
  StateShare share_;
  Residence residence_;
  ElementRange portion_, slice_;
  std::vector<int64_t> slice_sizes_;  // per owner of the chunk
  int64_t slots_ = 0, epoch_ = 0;
  std::vector<int64_t> slot_of_;    // [layers * experts], -1: not here
  MemoryBlock values_, gradients_;  // portions of chunks
  MemoryBlock own_values_, own_gradients_, first_, second_;
};

}  // namespace hecate::sharding::exec
