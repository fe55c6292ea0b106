#pragma once
#include <cstdint>
#include <vector>

#include "runtime/base/real.h"
#include "runtime/memory/ledger.h"
#include "sharding/exec/expert_chunks.h"
#include "sharding/ownership.h"

/// What one rank owns of the experts: masters, gradients and both moments, in slots that are shared
/// by all layers, so that owners can change without allocating.
/// Source: heterogeneous sharding, arXiv 2502.02581, section 3.
namespace hecate::sharding::exec {

/// One chunk as its owner has it; null where another rank owns it.
struct OwnedChunk {
  Real *value = nullptr, *gradient = nullptr, *first_moment = nullptr, *second_moment = nullptr;
};

class ExpertStore {
 public:
  /// All zeros. There is room for an even share of the chunks, rounded up: enough for any owners.
  /// @throws InvalidArgument when owners are of another shape; DeviceError when memory is short.
  ExpertStore(MemoryLedger& ledger, const ExpertChunks& chunks, Ownership owners, int rank);

  const ExpertChunks& chunks() const { return chunks_; }
  const Ownership& owners() const { return owners_; }
  int rank() const { return rank_; }
  int owner(int64_t layer, int64_t expert) const {
    return owners_.owner(static_cast<int>(layer), static_cast<int>(expert));
  }
  bool owns(int64_t layer, int64_t expert) const { return owner(layer, expert) == rank_; }
  OwnedChunk chunk(int64_t layer, int64_t expert) const;
  /// Chunks that the rank has room for.
  int64_t slots() const { return slots_; }
  /// Raised whenever owners change: what was derived from chunk() is stale then.
  int64_t epoch() const { return epoch_; }

  /// Takes over new owners: chunks that stay keep their memory, those that come have undefined
  /// contents until the caller fills them. Nothing is changed when it throws.
  /// @throws InvalidArgument when the shape differs or the rank would own more than slots().
  void change_owners(Ownership owners);
  /// Throws what change_owners would, and changes nothing.
  void check_room(const Ownership& owners) const;

 private:
  Real* at(const MemoryBlock& block, int64_t slot) const;
  static void check(const ExpertChunks& chunks, const Ownership& owners);

  ExpertChunks chunks_;
  Ownership owners_;
  int rank_;
  int64_t slots_ = 0, epoch_ = 0;
  std::vector<int64_t> slot_of_;  // [layers * experts], -1: not here
  MemoryBlock values_, gradients_, first_, second_;
};

}  // namespace hecate::sharding::exec
