#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "collectives/communicator.h"
#include "runtime/base/real.h"
#include "runtime/memory/ledger.h"

/// Dense parameters in data parallel ranks: every rank computes with whole buckets, each rank owns
/// a slice of every bucket with its gradient and moments (ZeRO stage 1, arXiv 1910.02054, section
/// 5).
namespace hecate::sharding::exec {

/// Elements [begin, end) of the flat array of dense parameters.
struct ElementRange {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

class DenseShards {
 public:
  /// @param dense communicator on the lane that gathers and reductions run on.
  /// @param buckets ascending, without overlap; what is gathered and reduced in one operation.
  /// @param elements of the flat array.
  DenseShards(const collectives::Communicator& dense, MemoryLedger& ledger, int64_t elements,
              std::vector<ElementRange> buckets, bool training);

  int64_t buckets() const { return std::ssize(buckets_); }
  ElementRange bucket(int64_t index) const { return buckets_[static_cast<size_t>(index)]; }
  /// This rank's slice of a bucket, in elements of the flat array.
  ElementRange slice(int64_t bucket) const;

  /// The whole flat arrays that operations compute with.
  Real* values() { return pointer(values_); }
  Real* gradients() { return pointer(gradients_); }
  /// The rank's slice of a bucket.
  Real* own_values(int64_t bucket) { return own(own_values_, bucket); }
  Real* own_gradients(int64_t bucket) { return own(own_gradients_, bucket); }
  Real* first_moments(int64_t bucket) { return own(first_, bucket); }
  Real* second_moments(int64_t bucket) { return own(second_, bucket); }

  /// Whole bucket of values <- the owners' slices. All ranks must call. Blocks.
  void gather(int64_t bucket);
  /// The owners' slices of the gradient <- sum of all ranks' buckets. All ranks must call. Blocks.
  void reduce(int64_t bucket);

 private:
  static Real* pointer(const MemoryBlock& block) { return reinterpret_cast<Real*>(block.data()); }
  Real* own(const MemoryBlock& block, int64_t bucket) const {
    return pointer(block) + own_offset_[static_cast<size_t>(bucket)];
  }
  ElementRange slice_of(int64_t bucket, int rank) const;

  collectives::Communicator dense_;
  std::vector<ElementRange> buckets_;
  std::vector<int64_t> own_offset_;                // of this rank's slices in its arrays
  std::vector<std::vector<int64_t>> slice_sizes_;  // [bucket][rank]
  MemoryBlock values_, gradients_, own_values_, own_gradients_, first_, second_;
};

}  // namespace hecate::sharding::exec
