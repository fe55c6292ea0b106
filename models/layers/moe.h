#pragma once
#include <memory>
#include <vector>

#include "models/builder.h"
#include "models/layers/feed_forward.h"
#include "runtime/kernels/router.h"

namespace hecate::models {

/// A mixture-of-experts layer: gate, permute, grouped experts, weighted sum; dropless unless a
/// capacity factor is set; optional shared experts. Parameters ffn.router, ffn.router_bias,
/// ffn.experts.e.up / .down, ffn.shared.up / .down.
///
/// Rows of an expert are in token order. Routing is never recomputed: with activation recompute
/// only the experts' activations are.
class MoeLayer {
 public:
  struct Saved {
    BufferId x, logits, probabilities, experts, weights, row_of, choice_of;  // of the gate
    BufferId rows, up, hidden, out;                                          // of the experts
    FeedForward::Saved shared;
    RowsId row_count;
  };
  explicit MoeLayer(const Builder& b);

  /// The layer's branch [T,D] from the normed input x [T,D].
  BufferId forward(Builder& b, BufferId x, Saved& saved) const;
  /// Repeats the expert activations from x with the routing that `saved` holds.
  void recompute(Builder& b, BufferId x, Saved& saved) const;
  BufferId backward(Builder& b, const Saved& saved, BufferId dy) const;

 private:
  /// What one micro-batch's operations hand on outside buffers.
  struct Shared {
    std::vector<int64_t> offsets;          // [E+1] rows of each expert
    std::vector<int64_t> taken;            // [E] capacity used by earlier micro-batches
    std::vector<int64_t> sequence_counts;  // [sequences, E] for the balance loss
    std::vector<const Real*> up, down;
    std::vector<Real*> dup, ddown;
    std::vector<Real> balance_gradient;  // [E]
  };

  void gate(Builder& b, Saved& saved) const;
  void choose(OpContext& c, const Saved& saved) const;
  void jitter(Stream& s, View<Real> logits) const;
  void drop(Stream& s, View<int32_t> experts) const;
  void add_statistics(Stream& s, const Saved& saved, OpContext& c) const;
  void plan(Builder& b, Saved& saved) const;
  void run_experts(Builder& b, Saved& saved) const;
  BufferId combine(Builder& b, Saved& saved) const;
  void experts_backward(Builder& b, const Saved& saved, BufferId drows_in) const;
  void gate_backward(Builder& b, const Saved& saved, BufferId dweights, BufferId dx) const;
  void run_gate_backward(OpContext& c, const Saved& saved, BufferId dweights,
                         BufferId dlogits) const;
  void resolve_experts() const;
  void resolve_gradients() const;
  OpCost row_cost(RowsId rows, double flops, double bytes) const;
  double balance_factor() const;

  int64_t layer_, tokens_, sequence_, d_, f_, experts_, top_k_;
  kernels::Gate gate_;
  bool first_choice_balance_;
  RouterConfig router_config_;
  FeedForwardActivation activation_;
  ModelState* state_;
  Weight router_, router_bias_;
  std::vector<ParameterId> up_ids_, down_ids_;
  std::shared_ptr<FeedForward> shared_;
  std::shared_ptr<Shared> run_;
};

}  // namespace hecate::models
