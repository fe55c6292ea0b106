#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "collectives/communicator.h"
#include "runtime/base/real.h"
#include "runtime/memory/ledger.h"
#include "sharding/exec/element_range.h"

/// Dense parameters in data parallel ranks: operations compute with whole buckets, each rank owns a
/// slice of every bucket with its gradient and moments (ZeRO, arXiv 1910.02054, section 5).
namespace hecate::sharding::exec {

/// The flat array of dense parameters in buckets: what is gathered and reduced in one operation.
struct DenseBuckets {
  std::vector<ElementRange> ranges;  ///< ascending, without overlap
  /// Stage 3: the ring (numbered from 0) that each bucket's values are gathered into and that its
  /// gradient is computed in. Buckets of one ring take turns; their user orders them. Empty: stage
  /// 1, every bucket exists whole all the time.
  std::vector<int> value_rings = {}, gradient_rings = {};
};

/// Memory of a rank: its slices (categories parameters, gradients and optimizer); whole buckets,
/// in stage 1 of all parameters and gradients (the same categories), in stage 3 of the rings alone
/// (materialized and gradients).
class DenseShards {
 public:
  /// @param dense communicator on the lane that gathers and reductions run on.
  DenseShards(const collectives::Communicator& dense, MemoryLedger& ledger, DenseBuckets buckets,
              bool training);

  int64_t buckets() const { return std::ssize(buckets_.ranges); }
  ElementRange bucket(int64_t index) const { return buckets_.ranges[static_cast<size_t>(index)]; }
  /// Of the bucket that element `offset` of the flat array lies in.
  int64_t bucket_of(int64_t offset) const;
  /// This rank's slice of a bucket, in elements of the flat array.
  ElementRange slice(int64_t bucket) const;

  /// Whether rings are all that exists of values and gradients: a gradient must then be reduced
  /// before another bucket has its ring, in every micro-batch.
  bool in_rings() const { return !buckets_.value_rings.empty(); }
  /// Which of the whole buckets' places a bucket has; in stage 1 all differ.
  int64_t value_ring(int64_t bucket) const { return values_.ring(bucket); }
  int64_t gradient_ring(int64_t bucket) const { return gradients_.ring(bucket); }
  int64_t value_ring_elements(int64_t ring) const { return values_.elements(ring); }
  int64_t gradient_ring_elements(int64_t ring) const { return gradients_.elements(ring); }

  /// The whole bucket that operations compute with: always the same place.
  Real* values(int64_t bucket) { return values_.at(bucket); }
  Real* gradients(int64_t bucket) { return gradients_.at(bucket); }
  /// The rank's slice of a bucket.
  Real* own_values(int64_t bucket) { return own(own_values_, bucket); }
  Real* own_gradients(int64_t bucket) { return own(own_gradients_, bucket); }
  Real* first_moments(int64_t bucket) { return own(first_, bucket); }
  Real* second_moments(int64_t bucket) { return own(second_, bucket); }

  /// Whole bucket of values <- the owners' slices. All ranks must call. Blocks.
  void gather(int64_t bucket);
  /// The owners' slices of the gradient <- sum of all ranks' buckets, the slices' earlier contents
  /// included when `accumulate`. The whole bucket is undefined then. All ranks must call. Blocks.
  void reduce(int64_t bucket, bool accumulate);

 private:
  /// Whole buckets, some of them in turns.
  class Rings {
   public:
    Rings() = default;
    Rings(std::span<const ElementRange> ranges, std::vector<int> ring_of);
    void allocate(MemoryLedger& ledger, MemoryCategory category);
    int64_t ring(int64_t bucket) const { return ring_of_[static_cast<size_t>(bucket)]; }
    int64_t elements(int64_t ring) const {
      return offset_[static_cast<size_t>(ring) + 1] - offset_[static_cast<size_t>(ring)];
    }
    Real* at(int64_t bucket) const;

   private:
    std::vector<int> ring_of_;     // per bucket
    std::vector<int64_t> offset_;  // per ring, and the end
    MemoryBlock memory_;
  };

  Real* own(const MemoryBlock& block, int64_t bucket) const {
    return reinterpret_cast<Real*>(block.data()) + own_offset_[static_cast<size_t>(bucket)];
  }
  ElementRange slice_of(int64_t bucket, int rank) const;

  collectives::Communicator dense_;
  DenseBuckets buckets_;
  std::vector<int64_t> own_offset_;                // of this rank's slices in its arrays
  std::vector<std::vector<int64_t>> slice_sizes_;  // [bucket][rank]
  Rings values_, gradients_;
  MemoryBlock own_values_, own_gradients_, first_, second_;
};

}  // namespace hecate::sharding::exec
