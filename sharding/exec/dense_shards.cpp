#include "sharding/exec/dense_shards.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::sharding::exec {
namespace {

constexpr int64_t kGrain = 16;  // slices begin at multiples of a vector

MemoryBlock zeros(MemoryLedger& ledger, MemoryCategory category, int64_t elements) {
  MemoryBlock block(ledger, category, elements * static_cast<int64_t>(sizeof(Real)));
  if (elements > 0) std::memset(block.data(), 0, static_cast<size_t>(block.bytes()));
  return block;
}

}  // namespace

DenseShards::DenseShards(const collectives::Communicator& dense, MemoryLedger& ledger,
                         int64_t elements, std::vector<ElementRange> buckets, bool training)
    : dense_(dense), buckets_(std::move(buckets)) {
  int64_t own = 0, before = 0;
  for (int64_t b = 0; b < this->buckets(); ++b) {
    const ElementRange range = bucket(b);
    HECATE_CHECK(range.begin >= before && range.end >= range.begin && range.end <= elements,
                 "dense shards: bucket ", b, " is [", range.begin, ", ", range.end, ") of ",
                 elements, " elements");
    before = range.end;
    own_offset_.push_back(own);
    std::vector<int64_t>& sizes = slice_sizes_.emplace_back();
    for (int rank = 0; rank < dense.size(); ++rank) sizes.push_back(slice_of(b, rank).size());
    own += slice(b).size();
  }
  values_ = zeros(ledger, MemoryCategory::parameters, elements);
  own_values_ = zeros(ledger, MemoryCategory::parameters, own);
  if (!training) return;
  gradients_ = zeros(ledger, MemoryCategory::gradients, elements);
  own_gradients_ = zeros(ledger, MemoryCategory::gradients, own);
  first_ = zeros(ledger, MemoryCategory::optimizer, own);
  second_ = zeros(ledger, MemoryCategory::optimizer, own);
}

ElementRange DenseShards::slice_of(int64_t bucket, int rank) const {
  const ElementRange range = this->bucket(bucket);
  const int64_t grains = (range.size() + kGrain - 1) / kGrain;
  const auto border = [&](int64_t position) {
    return std::min(range.end, range.begin + grains * position / dense_.size() * kGrain);
  };
  return {border(rank), border(rank + 1)};
}

ElementRange DenseShards::slice(int64_t bucket) const {
  return slice_of(bucket, dense_.rank());
}

void DenseShards::gather(int64_t bucket) {
  dense_
      .all_gather_v(own_values(bucket), values() + this->bucket(bucket).begin,
                    slice_sizes_[static_cast<size_t>(bucket)], dtype_of<Real>())
      .wait();
}

void DenseShards::reduce(int64_t bucket) {
  dense_
      .reduce_scatter_v(gradients() + this->bucket(bucket).begin, own_gradients(bucket),
                        slice_sizes_[static_cast<size_t>(bucket)], dtype_of<Real>(),
                        collectives::ReduceOp::sum)
      .wait();
}

}  // namespace hecate::sharding::exec
