#include "models/layers/moe.h"

#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/permute.h"

namespace hecate::models {

MoeLayer::MoeLayer(const Builder& b, const ExpertOps& ops)
    : tokens_(b.tokens()),
      d_(b.model().d_model),
      top_k_(b.model().top_k),
      routed_scale_(b.router().routed_scale),
      ops_(&ops),
      gate_(b),
      routes_(make_routes(b, gate_, ops)),
      shared_(b.model().shared_experts > 0 ? std::make_shared<FeedForward>(b, "ffn.shared")
                                           : nullptr) {}

OpCost MoeLayer::row_cost(const Saved& saved, double flops, double passes) const {
  return {.flops = 0,
          .bytes = 0,
          .rows = saved.routes.token_rows,
          .flops_per_row = flops * static_cast<double>(d_),
          .bytes_per_row = passes * static_cast<double>(sizeof(Real)) * static_cast<double>(d_)};
}

BufferId MoeLayer::forward(Builder& b, BufferId x, Saved& saved) const {
  saved.x = x;
  gate_.choose(b, x, saved.gate);
  saved.routes = routes_->plan(b, saved.gate);
  const BufferId shared = run_experts(b, saved);
  ops_->after_forward(b);
  return combine(b, saved, shared);
}

void MoeLayer::recompute(Builder& b, BufferId x, Saved& saved) const {
  saved.x = x;
  run_experts(b, saved);
}

// Returns the shared experts' output (no buffer without them).
BufferId MoeLayer::run_experts(Builder& b, Saved& saved) const {
  const BufferId rows = b.pooled("ffn.rows", saved.routes.token_rows, d_);
  b.op(OpKind::permutation, "ffn.permute", {saved.x, saved.routes.choice_of}, {rows},
       row_cost(saved, 0, 2),
       [self = *this, x = saved.x, routes = saved.routes, rows](OpContext& c) {
         const int64_t count = c.rows(routes.token_rows);
         kernels::permute(c.stream(), c.view<const Real>(x, {self.tokens_, self.d_}), self.top_k_,
                          c.view<const int32_t>(routes.choice_of, {count}),
                          c.view<Real>(rows, {count, self.d_}));
       });
  BufferId shared;
  saved.experts.rows = routes_->to_experts(b, saved.routes, rows, "ffn.expert_rows");
  if (shared_) shared = shared_->forward(b, saved.x, saved.shared);
  const MoeExperts experts(b, *ops_, saved.routes.expert_rows,
                           [routes = routes_] { return routes->offsets(); });
  experts.forward(b, saved.experts);
  saved.out = routes_->to_tokens(b, saved.routes, saved.experts.out, "ffn.returned");
  return shared;
}

BufferId MoeLayer::combine(Builder& b, Saved& saved, BufferId shared) const {
  const bool accumulate = shared.valid();
  const BufferId y = accumulate ? shared : b.matrix("ffn.y", tokens_, d_);
  b.op(OpKind::permutation, "ffn.combine", {saved.out, saved.routes.row_of, saved.gate.weights},
       {y}, row_cost(saved, 2, 2), [self = *this, saved, y, accumulate](OpContext& c) {
         const int64_t count = c.rows(saved.routes.token_rows);
         kernels::unpermute(c.stream(), c.view<const Real>(saved.out, {count, self.d_}),
                            c.view<const int32_t>(saved.routes.row_of, {self.tokens_, self.top_k_}),
                            c.view<const Real>(saved.gate.weights, {self.tokens_, self.top_k_}),
                            c.view<Real>(y, {self.tokens_, self.d_}), accumulate);
       });
  return y;
}

// The gradient of the experts' outputs on the token side, in place of the outputs.
BufferId MoeLayer::combine_backward(Builder& b, const Saved& saved, BufferId dy,
                                    BufferId dweights) const {
  const BufferId drows = saved.out;
  b.op(OpKind::permutation, "ffn.combine.dx",
       {dy, saved.routes.row_of, saved.routes.choice_of, saved.gate.weights}, {drows, dweights},
       row_cost(saved, 4, 3), [self = *this, saved, dy, drows, dweights](OpContext& c) {
         const int64_t count = c.rows(saved.routes.token_rows);
         const auto rows = c.view<Real>(drows, {count, self.d_});
         const auto gradient = c.view<Real>(dweights, {self.tokens_, self.top_k_});
         kernels::unpermute_backward(
             c.stream(), c.view<const Real>(dy, {self.tokens_, self.d_}), rows,
             c.view<const int32_t>(saved.routes.row_of, {self.tokens_, self.top_k_}),
             c.view<const int32_t>(saved.routes.choice_of, {count}),
             c.view<const Real>(saved.gate.weights, {self.tokens_, self.top_k_}), rows, gradient);
         if (self.routed_scale_ != 1)
           kernels::scale(c.stream(), static_cast<Real>(self.routed_scale_), gradient);
       });
  return drows;
}

void MoeLayer::permute_backward(Builder& b, const Saved& saved, BufferId drows, BufferId dx) const {
  const bool accumulate = shared_ != nullptr;
  b.op(OpKind::permutation, "ffn.permute.dx", {drows, saved.routes.row_of}, {dx},
       row_cost(saved, 1, 2), [self = *this, saved, drows, dx, accumulate](OpContext& c) {
         const int64_t count = c.rows(saved.routes.token_rows);
         kernels::permute_backward(
             c.stream(), c.view<const Real>(drows, {count, self.d_}),
             c.view<const int32_t>(saved.routes.row_of, {self.tokens_, self.top_k_}),
             c.view<Real>(dx, {self.tokens_, self.d_}), accumulate);
       });
}

BufferId MoeLayer::backward(Builder& b, const Saved& saved, BufferId dy) const {
  const BufferId dweights = b.matrix("ffn.dweights", tokens_, top_k_);
  const BufferId dout = combine_backward(b, saved, dy, dweights);
  MoeExperts::Saved experts_saved = saved.experts;
  experts_saved.out = routes_->to_experts(b, saved.routes, dout, "ffn.dout");
  const BufferId dx =
      shared_ ? shared_->backward(b, saved.shared, dy) : b.matrix("ffn.dx", tokens_, d_);
  const MoeExperts experts(b, *ops_, saved.routes.expert_rows,
                           [routes = routes_] { return routes->offsets(); });
  const BufferId dexpert_rows = experts.backward(b, experts_saved);
  const BufferId drows = routes_->to_tokens(b, saved.routes, dexpert_rows, "ffn.drows.returned");
  ops_->after_backward(b);
  permute_backward(b, saved, drows, dx);
  gate_.backward(b, saved.gate, dweights, dx);
  return dx;
}

}  // namespace hecate::models
