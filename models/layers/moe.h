#pragma once
#include <memory>
#include <optional>

#include "models/builder.h"
#include "models/expert_ops.h"
#include "models/layers/feed_forward.h"
#include "models/layers/moe_experts.h"
#include "models/layers/moe_gate.h"
#include "models/layers/moe_routes.h"

namespace hecate::models {

/// A mixture-of-experts layer: gate, tokens to experts, grouped experts, weighted sum; dropless
/// unless a capacity factor is set; optional shared experts (ffn.shared.up / .down), which run
/// while tokens are on their way to other ranks.
///
/// Rows of an expert are in global token order. Routing is never recomputed: with activation
/// recompute only the experts' activations are.
class MoeLayer {
 public:
  struct Saved {
    BufferId x;
    MoeGate::Saved gate;
    MoeRoutes::Saved routes;
    MoeExperts::Saved experts;
    BufferId out;  ///< experts' outputs on the token side
    FeedForward::Saved shared;
  };
  /// @param ops of the graph; outlives the layer.
  MoeLayer(const Builder& b, const ExpertOps& ops);

  /// The layer's branch [T,D] from the normed input x [T,D].
  BufferId forward(Builder& b, BufferId x, Saved& saved) const;
  /// Repeats the expert activations from x with the routing that `saved` holds.
  void recompute(Builder& b, BufferId x, Saved& saved) const;
  BufferId backward(Builder& b, const Saved& saved, BufferId dy) const;

 private:
  BufferId run_experts(Builder& b, Saved& saved) const;
  BufferId combine(Builder& b, Saved& saved, BufferId y) const;
  BufferId combine_backward(Builder& b, const Saved& saved, BufferId dy, BufferId dweights) const;
  void permute_backward(Builder& b, const Saved& saved, BufferId drows, BufferId dx) const;
  OpCost row_cost(const Saved& saved, double flops, double passes) const;

  int64_t tokens_, d_, top_k_;
  double routed_scale_;
  const ExpertOps* ops_;
  MoeGate gate_;
  std::shared_ptr<MoeRoutes> routes_;
  std::shared_ptr<FeedForward> shared_;
};

}  // namespace hecate::models
