#include "sharding/exec/dense_shards.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::sharding::exec {
namespace {

constexpr int64_t kAlignment = 16;  // elements: vectors of a tensor stay whole in any bucket

MemoryBlock zeros(MemoryLedger& ledger, MemoryCategory category, int64_t elements) {
  MemoryBlock block(ledger, category, elements * static_cast<int64_t>(sizeof(Real)));
  block.clear();
  return block;
}

std::vector<int> rings_or_own(std::vector<int> rings, size_t buckets) {
  if (!rings.empty()) return rings;
  rings.resize(buckets);
  std::iota(rings.begin(), rings.end(), 0);
  return rings;
}

void check(const DenseBuckets& buckets) {
  int64_t before = 0;
  for (const ElementRange& range : buckets.ranges) {
    HECATE_CHECK(range.begin >= before && range.end >= range.begin, "dense shards: bucket [",
                 range.begin, ", ", range.end, ") after element ", before);
    before = range.end;
  }
  const size_t rings = buckets.value_rings.size();
  HECATE_CHECK(
      (rings == 0 || rings == buckets.ranges.size()) && buckets.gradient_rings.size() == rings,
      "dense shards: rings of ", rings, " and ", buckets.gradient_rings.size(),
      " buckets, there are ", buckets.ranges.size());
}

}  // namespace

DenseShards::Rings::Rings(std::span<const ElementRange> ranges, std::vector<int> ring_of)
    : ring_of_(std::move(ring_of)) {
  const int rings = ring_of_.empty() ? 0 : *std::ranges::max_element(ring_of_) + 1;
  std::vector<int64_t> sizes(static_cast<size_t>(rings), 0);
  for (size_t b = 0; b < ranges.size(); ++b) {
    int64_t& size = sizes[static_cast<size_t>(ring_of_[b])];
    size = std::max(size, ranges[b].size());
  }
  offset_.push_back(0);
  for (int64_t size : sizes)
    offset_.push_back(offset_.back() + (size + kAlignment - 1) / kAlignment * kAlignment);
}

void DenseShards::Rings::allocate(MemoryLedger& ledger, MemoryCategory category) {
  memory_ = zeros(ledger, category, offset_.back());
}

Real* DenseShards::Rings::at(int64_t bucket) const {
  return reinterpret_cast<Real*>(memory_.data()) + offset_[static_cast<size_t>(ring(bucket))];
}

DenseShards::DenseShards(const collectives::Communicator& dense, MemoryLedger& ledger,
                         DenseBuckets buckets, bool training)
    : dense_(dense), buckets_(std::move(buckets)) {
  check(buckets_);
  int64_t own = 0;
  for (int64_t b = 0; b < this->buckets(); ++b) {
    own_offset_.push_back(own);
    std::vector<int64_t>& sizes = slice_sizes_.emplace_back();
    for (int rank = 0; rank < dense.size(); ++rank) sizes.push_back(slice_of(b, rank).size());
    own += slice(b).size();
  }
  const size_t count = buckets_.ranges.size();
  values_ = Rings(buckets_.ranges, rings_or_own(buckets_.value_rings, count));
  gradients_ = Rings(buckets_.ranges, rings_or_own(buckets_.gradient_rings, count));
  values_.allocate(ledger, in_rings() ? MemoryCategory::materialized : MemoryCategory::parameters);
  own_values_ = zeros(ledger, MemoryCategory::parameters, own);
  if (!training) return;
  gradients_.allocate(ledger, MemoryCategory::gradients);
  own_gradients_ = zeros(ledger, MemoryCategory::gradients, own);
  first_ = zeros(ledger, MemoryCategory::optimizer, own);
  second_ = zeros(ledger, MemoryCategory::optimizer, own);
}

int64_t DenseShards::bucket_of(int64_t offset) const {
  for (int64_t b = 0; b < buckets(); ++b)
    if (offset >= bucket(b).begin && offset < bucket(b).end) return b;
  throw InvalidArgument(concat("dense shards: element ", offset, " is in no bucket"));
}

ElementRange DenseShards::slice_of(int64_t bucket, int rank) const {
  return part_of(this->bucket(bucket), rank, dense_.size());
}

ElementRange DenseShards::slice(int64_t bucket) const {
  return slice_of(bucket, dense_.rank());
}

void DenseShards::gather(int64_t bucket) {
  dense_
      .all_gather_v(own_values(bucket), values(bucket), slice_sizes_[static_cast<size_t>(bucket)],
                    dtype_of<Real>())
      .wait();
}

void DenseShards::reduce(int64_t bucket, bool accumulate) {
  const ElementRange mine = slice(bucket);
  Real* const whole = gradients(bucket);
  Real* const own = own_gradients(bucket);
  // What the slice has goes into the sum, so that it needs no room beside it.
  if (accumulate) {
    Real* const part = whole + (mine.begin - this->bucket(bucket).begin);
    for (int64_t i = 0; i < mine.size(); ++i) part[i] += own[i];
  }
  dense_
      .reduce_scatter_v(whole, own, slice_sizes_[static_cast<size_t>(bucket)], dtype_of<Real>(),
                        collectives::ReduceOp::sum)
      .wait();
}

}  // namespace hecate::sharding::exec
