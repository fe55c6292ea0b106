#pragma once
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "models/builder.h"
#include "models/expert_ops.h"
#include "models/layers/feed_forward.h"
#include "runtime/kernels/gemm.h"

namespace hecate::models {

/// The experts of one layer on rows that are sorted by expert: down(act(up(row))). Parameters
/// ffn.experts.e.up / .down, found where they are when an operation runs: in the rank's own arrays,
/// or at the owner's or a materialized place.
class MoeExperts {
 public:
  struct Saved {
    BufferId rows, up, hidden, out;
  };
  /// @param offsets [E + 1] of the rows that operations see when they run.
  using Offsets = std::function<std::span<const int64_t>()>;
  MoeExperts(const Builder& b, const ExpertOps& ops, RowsId rows, Offsets offsets);

  /// saved.rows [R,D] -> saved.out [R,D], both pooled.
  void forward(Builder& b, Saved& saved) const;
  /// saved.out holds the gradient of the outputs; saved.up becomes that of the activations' inputs.
  /// Returns the gradient of saved.rows.
  BufferId backward(Builder& b, const Saved& saved) const;

 private:
  struct Pointers {
    std::vector<const Real*> up, down;
    std::vector<Real*> dup, ddown;
  };

  void resolve() const;
  void resolve_gradients() const;
  OpCost row_cost(double flops, double bytes) const;
  OpCost up_cost() const;
  OpCost down_cost() const;
  std::vector<BufferId> reads(const Builder& b, std::vector<BufferId> ids) const;
  std::vector<BufferId> gradient_writes(const Builder& b) const;
  kernels::ExpertWeights up_weights() const;
  kernels::ExpertWeights down_weights() const;

  RowsId rows_;
  Offsets offsets_;
  int64_t d_, f_, up_width_, down_offset_ = 0;
  FeedForwardActivation activation_;
  ModelState* state_;
  sharding::exec::ExpertRuntime* runtime_;
  ExpertOps::Use use_;
  std::vector<ParameterId> up_ids_, down_ids_;
  std::shared_ptr<Pointers> run_;
};

}  // namespace hecate::models
