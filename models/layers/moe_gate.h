#pragma once
#include <memory>
#include <vector>

#include "models/builder.h"
#include "runtime/kernels/router.h"

namespace hecate::models {

/// Numbers per layer that ranks exchange after the gate: choices of every expert, then (where the
/// balance over the batch asks for them) first choices.
int64_t routing_counts(const ModelConfig& model, const RouterConfig& router);

/// The gate of a mixture-of-experts layer: scores tokens, chooses experts, keeps the layer's
/// statistics and auxiliary losses. Batch-wide quantities (balance over the batch, capacity) count
/// the tokens of all ranks and take them in global order. Parameters ffn.router, ffn.router_bias.
class MoeGate {
 public:
  struct Saved {
    BufferId x, logits, probabilities;
    BufferId experts;  ///< [T,K] i32; -1 - expert once dropped
    BufferId weights;  ///< [T,K]
    BufferId counts;   ///< [counts_size()] i64: this rank's choices per expert
  };
  explicit MoeGate(const Builder& b);

  /// routing_counts of the layer.
  int64_t counts_size() const { return counts_; }
  int64_t top_k() const { return top_k_; }
  /// Choices that an expert may get of the global batch; negative: no limit.
  int64_t capacity() const;

  /// Scores and chooses.
  void choose(Builder& b, BufferId x, Saved& saved) const;
  /// What the layer's routing looks like beyond this rank's tokens of the micro-batch.
  struct Wider {
    const int64_t* total = nullptr;  ///< [counts_size()] summed over ranks
    std::span<int64_t> taken;        ///< [E] choices that earlier tokens of the step took
  };
  /// Statistics, losses and drops, once the counts of all ranks are known. Called by operations.
  void settle(OpContext& c, const Saved& saved, const Wider& wider) const;
  /// Adds to dx from the gradient by the weights.
  void backward(Builder& b, const Saved& saved, BufferId dweights, BufferId dx) const;

 private:
  struct Scratch {
    std::vector<int64_t> span_counts;    // [spans, E] for the balance loss
    std::vector<Real> balance_gradient;  // [E]
  };

  void run_choose(OpContext& c, const Saved& saved) const;
  void count(Stream& s, View<const int32_t> experts, std::span<int64_t> counts) const;
  void jitter(Stream& s, View<Real> logits) const;
  void balance(OpContext& c, const Saved& saved, const Wider& wider) const;
  void run_backward(OpContext& c, const Saved& saved, BufferId dweights, BufferId dlogits) const;
  double balance_factor() const;
  bool whole_batch() const { return config_.balance_scope == "batch"; }
  int64_t span() const { return whole_batch() ? tokens_ : sequence_; }
  /// Tokens that f and P of one balance loss run over.
  double balance_tokens() const;
  OpCost cost() const;

  int64_t layer_, tokens_, sequence_, experts_, top_k_, counts_;
  kernels::Gate gate_;
  bool first_choice_balance_;
  RouterConfig config_;
  ModelState* state_;
  Weight router_, router_bias_;
  std::shared_ptr<Scratch> run_;
};

}  // namespace hecate::models
