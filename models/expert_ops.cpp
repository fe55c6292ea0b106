#include "models/expert_ops.h"

#include <algorithm>
#include <utility>

#include "sharding/exec/dense_shards.h"

namespace hecate::models {

ExpertOps::ExpertOps(Builder& b, bool train) : runtime_(b.parallel().experts), train_(train) {
  for (int32_t layer = 0; layer < b.model().layers; ++layer) {
    index_.push_back(b.model().is_moe(layer) ? std::ssize(layers_) : -1);
    if (b.model().is_moe(layer)) layers_.push_back(layer);
  }
  window_ = window(b);
  if (!gathers()) return;
  b.enter(-1, false);
  const sharding::exec::MaterializerOptions& options = runtime_->materializer().options();
  for (int64_t ring = 0; ring < options.parameter_rings; ++ring) {
    parameters_.push_back(b.token(concat("materialized.", ring)));
    if (runtime_->calibrates()) extensions_.push_back(b.token(concat("extension.", ring)));
  }
  for (int64_t ring = 0; train && ring < options.gradient_rings; ++ring)
    gradients_.push_back(b.token(concat("replica_gradients.", ring)));
}

ExpertOps::Use ExpertOps::use(int32_t layer) const {
  Use use{.index = index_[static_cast<size_t>(layer)],
          .parameter_ring = 0,
          .gradient_ring = 0,
          .parameters = {},
          .gradients = {},
          .extension = {}};
  if (!gathers()) return use;
  use.parameter_ring = runtime_->parameter_ring(use.index);
  use.parameters = parameters_[static_cast<size_t>(use.parameter_ring)];
  if (runtime_->calibrates()) use.extension = extensions_[static_cast<size_t>(use.parameter_ring)];
  if (!train_) return use;
  use.gradient_ring = runtime_->gradient_ring(use.index);
  use.gradients = gradients_[static_cast<size_t>(use.gradient_ring)];
  return use;
}

// As far ahead as there are rings. Slices share their lane with dense layers: where these come
// late, because they have few rings, slices of layers far ahead must not hold them up.
int64_t ExpertOps::window(const Builder& b) const {
  if (runtime_ == nullptr) return 0;
  const int64_t rings = gathers() ? runtime_->materializer().options().parameter_rings
                                  : runtime_->store().chunks().layers;
  return runtime_->replicas().exist() && b.fresh_gradients()
             ? std::min(rings, 1 + runtime_->options().prefetch_depth)
             : rings;
}

void ExpertOps::begin_layer(Builder& b, int32_t layer) const {
  const int64_t index = index_[static_cast<size_t>(layer)];
  if (index < window_) bring(b, index);
}

void ExpertOps::after_forward(Builder& b) const {
  bring(b, index_[static_cast<size_t>(b.layer())] + window_);
}

void ExpertOps::after_backward(Builder& b) const {
  if (gathers()) gather(b, index_[static_cast<size_t>(b.layer())] - std::ssize(parameters_), true);
  if (runtime_ != nullptr && runtime_->reduces()) reduce(b);
  split_slices(b);
}

void ExpertOps::bring(Builder& b, int64_t index) const {
  join_slices(b, index);
  gather(b, index, false);
}

void ExpertOps::join_slices(Builder& b, int64_t index) const {
  if (!shared() || index < 0 || index >= std::ssize(layers_)) return;
  const int32_t current = b.layer();
  b.enter(layers_[static_cast<size_t>(index)], false);
  b.lane_op(
      LaneKind::dense, OpKind::expert_gather, "ffn.experts.join", {}, {b.expert_weights()},
      slices_cost(), [runtime = runtime_, index](OpContext&) { runtime->replicas().gather(index); },
      graph::When::first_micro_batch);
  b.enter(current, false);
}

void ExpertOps::split_slices(Builder& b) const {
  if (!shared()) return;
  b.lane_op(
      LaneKind::dense, OpKind::expert_reduce, "ffn.experts.split", {b.expert_gradients()}, {},
      slices_cost(),
      [runtime = runtime_, index = index_[static_cast<size_t>(b.layer())]](OpContext&) {
        runtime->replicas().reduce(index);
      },
      graph::When::last_micro_batch);
}

OpCost ExpertOps::slices_cost() const {
  return {.flops = 0,
          .bytes = static_cast<double>(runtime_->replicas().layer_bytes()),
          .rows = {},
          .flops_per_row = 0,
          .bytes_per_row = 0};
}

void ExpertOps::gather(Builder& b, int64_t index, bool backward) const {
  if (!gathers() || index < 0 || index >= std::ssize(layers_)) return;
  const int32_t current = b.layer(), layer = layers_[static_cast<size_t>(index)];
  const bool was_backward = b.backward();
  b.enter(layer, backward);
  const Use target = use(layer);
  const auto& chunks = runtime_->store().chunks();
  std::vector<BufferId> reads = {b.expert_weights()};
  if (index == 0 && !backward) reads.push_back(b.weights());
  b.lane_op(
      LaneKind::sparse, OpKind::expert_gather, "ffn.experts.gather", std::move(reads),
      {target.parameters},
      {.flops = 0,
       .bytes = static_cast<double>(runtime_->options().slots * chunks.elements *
                                    static_cast<int64_t>(sizeof(Real))),
       .rows = {},
       .flops_per_row = 0,
       .bytes_per_row = 0},
      [runtime = runtime_, target, backward](OpContext&) {
        if (backward)
          runtime->materializer().gather_again(target.index, target.parameter_ring);
        else
          runtime->materializer().gather(target.index, target.parameter_ring);
      },
      runtime_->once_per_step() ? graph::When::first_micro_batch : graph::When::always);
  b.enter(current, was_backward);
}

void ExpertOps::extend(Builder& b, BufferId planned) const {
  if (!gathers() || !runtime_->calibrates()) return;
  const Use target = use(b.layer());
  b.lane_op(
      LaneKind::dispatch, OpKind::calibrate, "ffn.experts.extend", {planned, b.expert_weights()},
      {target.extension}, {}, [runtime = runtime_, target](OpContext&) {
        runtime->materializer().extend(runtime->lanes().dispatch, target.index,
                                       target.parameter_ring, runtime->gradient_ring(target.index));
      });
}

void ExpertOps::reduce(Builder& b) const {
  const Use source = use(b.layer());
  std::vector<BufferId> reads;
  if (source.gradients.valid()) reads.push_back(source.gradients);
  b.lane_op(
      LaneKind::sparse, OpKind::expert_reduce, "ffn.experts.reduce", std::move(reads),
      {b.expert_gradients()},
      {.flops = 0,
       .bytes = static_cast<double>(runtime_->reduced_bytes()),
       .rows = {},
       .flops_per_row = 0,
       .bytes_per_row = 0},
      [runtime = runtime_, source](OpContext&) {
        runtime->materializer().reduce(source.index, source.gradient_ring);
      },
      runtime_->once_per_step() ? graph::When::last_micro_batch : graph::When::always);
}

}  // namespace hecate::models
