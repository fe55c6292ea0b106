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
namespace hecate::sharding::exec {

/// One chunk as its owner has it; null where another rank owns it.
struct OwnedChunk {
  /// The whole chunk, which operations use.
  Real *value = nullptr, *gradient = nullptr;
  /// The rank's slice of it. Value and gradient are the ones above where the slice is all.
  Real *own_value = nullptr, *own_gradient = nullptr;
  Real *first_moment = nullptr, *second_moment = nullptr;
};

/// Which part of every chunk's state an owner has.
struct StateShare {
  int index = 0, count = 1;
};

class ExpertStore {
 public:
  /// All zeros. There is room for an even share of the chunks, rounded up: enough for any owners.
  /// @throws InvalidArgument when owners are of another shape; DeviceError when memory is short.
  /// @param owners of one domain: its places are the devices. @param rank place in the domain.
  ExpertStore(MemoryLedger& ledger, const ExpertChunks& chunks, Ownership owners, int rank,
              StateShare share = {});

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
  void change_owners(Ownership owners);
  /// Throws what change_owners would, and changes nothing.
  void check_room(const Ownership& owners) const;

 private:
  void allocate(MemoryLedger& ledger);
  static void check(const ExpertChunks& chunks, const Ownership& owners);

  ExpertChunks chunks_;
  Ownership owners_;
  int rank_;
  StateShare share_;
  ElementRange slice_;
  std::vector<int64_t> slice_sizes_;  // per owner of the chunk
  int64_t slots_ = 0, epoch_ = 0;
  std::vector<int64_t> slot_of_;    // [layers * experts], -1: not here
  MemoryBlock values_, gradients_;  // whole chunks
  MemoryBlock own_values_, own_gradients_, first_, second_;
};

}  // namespace hecate::sharding::exec
