#pragma once
#include <cstdint>
#include <vector>

#include "models/builder.h"
#include "sharding/exec/expert_runtime.h"

namespace hecate::models {

/// Puts the gathers of expert parameters and the reductions of their gradients into a graph, on the
/// sparse lane. A layer's parameters live in ring `layer mod rings`: as soon as the layer that used
/// a ring is done with it, the next layer's gather into it may run, under whatever else is going
/// on. Without a runtime, or where nothing is ever materialized, it adds nothing of that.
///
/// Order on the lane (the same on all ranks, since all build the same graph): forward, layer l + 1
/// + depth is gathered after the experts of layer l; backward, layer l - 1 - depth after those of
/// layer l, and then layer l is reduced. With release, the last rings' layers are still in place
/// when backward starts and are not gathered twice. The first gather of a step waits for the dense
/// parameters of its layer: they are needed before it, and on one link each would slow the other.
///
/// Where plans are corrected after the gate, what that adds to a layer is gathered on the dispatch
/// lane, ahead of the layer's tokens: on the sparse lane it would wait for the gathers of all
/// layers to come. The layer's experts wait for it.
///
/// Gradients of replicas that live in the store are reduced in the same way, without rings.
///
/// Where several domains share the owners' state, a layer's owned experts are put together on the
/// dense lane before they are gathered, in a step's first micro-batch, and their gradients go back
/// into slices after the last one's reduction.
class ExpertOps {
 public:
  /// @param train gradients are reduced.
  ExpertOps(Builder& b, bool train);

  /// What the operations of a layer's experts touch besides the layer's own buffers.
  struct Use {
    int64_t index = 0;  ///< MoE layers counted from 0
    int64_t parameter_ring = 0, gradient_ring = 0;
    BufferId parameters, gradients;  ///< invalid where nothing is materialized
    BufferId extension;              ///< invalid where plans are not corrected
  };
  Use use(int32_t layer) const;

  /// Before the embedding, for each layer in turn.
  void begin_layer(Builder& b, int32_t layer) const;
  /// After a MoE layer's plan was made. @param planned written by what made it.
  void extend(Builder& b, BufferId planned) const;
  /// After the operations of a MoE layer's experts, forward and backward.
  void after_forward(Builder& b) const;
  void after_backward(Builder& b) const;

 private:
  void bring(Builder& b, int64_t index) const;
  void join_slices(Builder& b, int64_t index) const;
  void split_slices(Builder& b) const;
  void gather(Builder& b, int64_t index, bool backward) const;
  void reduce(Builder& b) const;
  OpCost slices_cost() const;
  int64_t window(const Builder& b) const;
  bool shared() const { return runtime_ != nullptr && runtime_->replicas().exist(); }
  bool gathers() const { return runtime_ != nullptr && runtime_->materializes(); }

  sharding::exec::ExpertRuntime* runtime_;
  bool train_;
  int64_t window_ = 0;           // layers that come before the first one's experts run
  std::vector<int32_t> layers_;  // of each MoE layer
  std::vector<int64_t> index_;   // of each layer, -1: dense
  std::vector<BufferId> parameters_, gradients_, extensions_;  // per ring
};

}  // namespace hecate::models
