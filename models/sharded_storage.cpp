#include "models/sharded_storage.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace hecate::models {

using sharding::exec::DenseBuckets;
using sharding::exec::ElementRange;
using sharding::exec::ExpertChunks;

ExpertChunks expert_chunks(const ParameterLayout& layout) {
  ExpertChunks chunks;
  int32_t layer = -1;
  for (const ParameterSpec& spec : layout.specs()) {
    if (spec.kind != ParameterKind::expert) continue;
    if (spec.layer != layer) ++chunks.layers;
    layer = spec.layer;
    chunks.experts = std::max<int64_t>(chunks.experts, spec.expert + 1);
  }
  if (chunks.count() > 0)
    chunks.elements = (layout.elements() - layout.dense_elements()) / chunks.count();
  return chunks;
}

DenseBuckets dense_buckets(const ParameterLayout& layout, int64_t layers) {
  std::vector<ElementRange> buckets(static_cast<size_t>(layers) + 2);
  std::vector<bool> seen(buckets.size(), false);
  size_t last = 0;
  for (size_t i = 0; i < layout.specs().size(); ++i) {
    const ParameterSpec& spec = layout.specs()[i];
    if (spec.kind == ParameterKind::expert) continue;
    if (spec.layer >= 0)
      last = static_cast<size_t>(spec.layer) + 1;
    else if (last > 0)
      last = buckets.size() - 1;
    const int64_t begin = layout.offset(static_cast<ParameterId>(i));
    if (!seen[last]) buckets[last].begin = begin;
    seen[last] = true;
    buckets[last].end = begin + spec.size();
  }
  for (size_t i = 1; i < buckets.size(); ++i)
    if (!seen[i]) buckets[i] = {buckets[i - 1].end, buckets[i - 1].end};
  return {.ranges = std::move(buckets)};
}

DenseBuckets dense_buckets_in_rings(const ParameterLayout& layout, const ModelConfig& model,
                                    int64_t depth) {
  const auto rings = [&](int64_t of_layers) {
    const auto count = static_cast<int>(std::min(model.layers, of_layers));
    std::vector<int> ring_of = {count};
    for (int layer = 0; layer < model.layers; ++layer) ring_of.push_back(layer % count);
    ring_of.push_back(model.tied_head ? count + 1 : count);
    return ring_of;
  };
  DenseBuckets buckets = dense_buckets(layout, model.layers);
  buckets.value_rings = rings(1 + depth);
  buckets.gradient_rings = rings(2);
  return buckets;
}

ShardedStorage::ShardedStorage(const ParameterLayout& layout, sharding::exec::DenseShards& dense,
                               sharding::exec::ExpertStore& experts)
    : layout_(&layout), dense_(&dense), experts_(&experts) {
  const int64_t elements = experts.chunks().elements;
  for (size_t i = 0; i < layout.specs().size(); ++i) {
    const ParameterSpec& spec = layout.specs()[i];
    const bool expert = spec.kind == ParameterKind::expert;
    if (expert && (moe_layers_.empty() || moe_layers_.back() != spec.layer))
      moe_layers_.push_back(spec.layer);
    const int64_t offset = layout.offset(static_cast<ParameterId>(i)) - layout.dense_elements();
    chunk_offset_.push_back(expert ? offset % elements : 0);
  }
  refresh();
}

int64_t ShardedStorage::moe_index(int32_t layer) const {
  return std::ranges::lower_bound(moe_layers_, layer) - moe_layers_.begin();
}

void ShardedStorage::refresh() {
  pieces_.clear();
  replicas_.clear();
  for (size_t i = 0; i < layout_->specs().size(); ++i) {
    const auto id = static_cast<ParameterId>(i);
    layout_->spec(id).kind == ParameterKind::expert ? add_expert(id) : add_dense(id);
  }
}

void ShardedStorage::add_dense(ParameterId id) {
  const int64_t first = layout_->offset(id), last = first + layout_->spec(id).size();
  for (int64_t b = 0; b < dense_->buckets(); ++b) {
    const ElementRange slice = dense_->slice(b);
    const int64_t begin = std::max(first, slice.begin), end = std::min(last, slice.end);
    if (begin >= end) continue;
    const int64_t at = begin - slice.begin;
    pieces_.push_back({.id = id,
                       .begin = begin - first,
                       .size = end - begin,
                       .value = dense_->own_values(b) + at,
                       .gradient = dense_->own_gradients(b) + at,
                       .first_moment = dense_->first_moments(b) + at,
                       .second_moment = dense_->second_moments(b) + at});
  }
}

void ShardedStorage::add_expert(ParameterId id) {
  const ParameterSpec& spec = layout_->spec(id);
  const int64_t layer = moe_index(spec.layer);
  if (!experts_->resides(layer, spec.expert)) return;
  const bool owner = experts_->sliced() || experts_->owns(layer, spec.expert);
  const sharding::exec::OwnedChunk chunk = experts_->chunk(layer, spec.expert);
  const ElementRange& slice = experts_->slice();
  const int64_t first = chunk_offset_[static_cast<size_t>(id)];
  const int64_t begin = std::max(first, slice.begin);
  const int64_t end = std::min(first + spec.size(), slice.end);
  if (begin >= end) return;
  const int64_t at = begin - slice.begin;
  (owner ? pieces_ : replicas_)
      .push_back({.id = id,
                  .begin = begin - first,
                  .size = end - begin,
                  .value = chunk.own_value + at,
                  .gradient = chunk.own_gradient + at,
                  .first_moment = chunk.first_moment + at,
                  .second_moment = chunk.second_moment + at});
}

ParameterTable ShardedStorage::table() {
  ParameterTable table;
  for (size_t i = 0; i < layout_->specs().size(); ++i) {
    const auto id = static_cast<ParameterId>(i);
    if (layout_->spec(id).kind == ParameterKind::expert) {
      table.value.push_back(nullptr);
      table.gradient.push_back(nullptr);
      continue;
    }
    const int64_t bucket = dense_->bucket_of(layout_->offset(id));
    const int64_t at = layout_->offset(id) - dense_->bucket(bucket).begin;
    table.value.push_back(dense_->values(bucket) + at);
    table.gradient.push_back(dense_->gradients(bucket) + at);
  }
  return table;
}

}  // namespace hecate::models
