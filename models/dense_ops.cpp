#include "models/dense_ops.h"

#include "sharding/exec/dense_shards.h"

namespace hecate::models {
namespace {

OpCost cost(const sharding::exec::DenseShards& shards, int64_t bucket) {
  return {.flops = 0,
          .bytes = static_cast<double>(shards.bucket(bucket).size()) * sizeof(Real),
          .rows = {},
          .flops_per_row = 0,
          .bytes_per_row = 0};
}

}  // namespace

DenseOps::DenseOps(Builder& b) : shards_(b.parallel().dense), last_(b.model().layers + 1) {}

void DenseOps::gather(Builder& b, int64_t bucket) const {
  if (shards_ == nullptr || shards_->bucket(bucket).size() == 0) return;
  b.lane_op(
      LaneKind::dense, OpKind::dense_gather, "dense.gather", {}, {b.weights()},
      cost(*shards_, bucket), [shards = shards_, bucket](OpContext&) { shards->gather(bucket); },
      graph::When::first_micro_batch);
}

void DenseOps::reduce(Builder& b, int64_t bucket) const {
  if (shards_ == nullptr || shards_->bucket(bucket).size() == 0) return;
  b.lane_op(
      LaneKind::dense, OpKind::dense_reduce, "dense.reduce", {b.gradients()}, {},
      cost(*shards_, bucket), [shards = shards_, bucket](OpContext&) { shards->reduce(bucket); },
      graph::When::last_micro_batch);
}

}  // namespace hecate::models
