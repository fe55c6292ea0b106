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

DenseOps::DenseOps(Builder& b, bool train)
    : shards_(b.parallel().dense), train_(train), layers_(b.model().layers), rings_(1) {
  if (shards_ == nullptr) return;
  while (rings_ < layers_ && shards_->value_ring(1 + rings_) != shards_->value_ring(1)) ++rings_;
}

void DenseOps::begin_layer(Builder& b, int32_t layer) const {
  if (layer < rings_) gather(b, 1 + layer);
}

void DenseOps::after_forward(Builder& b) const {
  if (b.layer() + rings_ <= layers_) gather(b, 1 + b.layer() + rings_);
}

void DenseOps::after_backward(Builder& b) const {
  if (b.layer() >= rings_) gather(b, 1 + b.layer() - rings_);
  reduce(b, 1 + b.layer());
}

// Whether what a micro-batch's first gather of a bucket brings is there until the step is over.
bool DenseOps::stays(int64_t bucket) const {
  if (train_ && bucket > 0 && bucket <= rings_) return true;  // backward ends with these
  for (int64_t other = 0; other < shards_->buckets(); ++other)
    if (other != bucket && shards_->value_ring(other) == shards_->value_ring(bucket)) return false;
  return true;
}

void DenseOps::enter(Builder& b, int64_t bucket, bool backward) const {
  const bool layer = bucket > 0 && bucket <= layers_;
  b.enter(layer ? static_cast<int32_t>(bucket - 1) : -1, backward);
}

void DenseOps::gather(Builder& b, int64_t bucket) const {
  if (shards_ == nullptr || shards_->bucket(bucket).size() == 0) return;
  const int32_t layer = b.layer();
  const bool first = stays(bucket) && !b.backward();
  enter(b, bucket, b.backward());
  b.lane_op(
      LaneKind::dense, OpKind::dense_gather, "dense.gather", {}, {b.weights()},
      cost(*shards_, bucket), [shards = shards_, bucket](OpContext&) { shards->gather(bucket); },
      first ? graph::When::first_micro_batch : graph::When::always);
  b.enter(layer, b.backward());
}

void DenseOps::reduce(Builder& b, int64_t bucket) const {
  if (shards_ == nullptr || shards_->bucket(bucket).size() == 0) return;
  const bool always = shards_->in_rings();
  b.lane_op(
      LaneKind::dense, OpKind::dense_reduce, "dense.reduce", {b.gradients()}, {},
      cost(*shards_, bucket),
      [shards = shards_, bucket, always, state = b.state()](OpContext&) {
        shards->reduce(bucket, always && state->scalars.accumulate);
      },
      always ? graph::When::always : graph::When::last_micro_batch);
}

}  // namespace hecate::models
