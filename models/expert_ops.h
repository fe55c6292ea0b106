#pragma once
#include <cstdint>
#include <vector>

#include "models/builder.h"
#include "sharding/exec/expert_runtime.h"

namespace hecate::models {

/// Puts the gathers of expert parameters and the reductions of their gradients into a graph, on the
/// sparse lane. A layer's parameters live in ring `layer mod rings`: as soon as the layer that used
/// a ring is done with it, the next layer's gather into it may run, under whatever else is going
/// on. Without a runtime, or where nothing is ever materialized, it adds nothing.
///
/// Order on the lane (the same on all ranks, since all build the same graph): forward, layer l + 1
/// + depth is gathered after the experts of layer l; backward, layer l - 1 - depth after those of
/// layer l, and then layer l is reduced. With release, the last rings' layers are still in place
/// when backward starts and are not gathered twice.
class ExpertOps {
 public:
  /// @param train gradients are reduced.
  ExpertOps(Builder& b, bool train);

  /// What the operations of a layer's experts touch besides the layer's own buffers.
  struct Use {
    int64_t index = 0;  ///< MoE layers counted from 0
    int64_t parameter_ring = 0, gradient_ring = 0;
    BufferId parameters, gradients;  ///< invalid where nothing is materialized
  };
  Use use(int32_t layer) const;

  /// Before the first layer.
  void begin(Builder& b) const;
  /// After the operations of a MoE layer's experts, forward and backward.
  void after_forward(Builder& b) const;
  void after_backward(Builder& b) const;

 private:
  void gather(Builder& b, int64_t index, bool backward) const;
  void reduce(Builder& b) const;
  bool active() const { return runtime_ != nullptr && runtime_->materializes(); }

  sharding::exec::ExpertRuntime* runtime_;
  bool train_;
  std::vector<int32_t> layers_;                   // of each MoE layer
  std::vector<int64_t> index_;                    // of each layer, -1: dense
  std::vector<BufferId> parameters_, gradients_;  // per ring
};

}  // namespace hecate::models
