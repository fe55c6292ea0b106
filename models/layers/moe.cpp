#include "models/layers/moe.h"

#include <algorithm>
#include <cmath>

#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/gemm.h"
#include "runtime/kernels/permute.h"

namespace hecate::models {
namespace {

kernels::Gate gate_of(const std::string& name) {
  if (name == "softmax") return kernels::Gate::softmax;
  if (name == "gshard") return kernels::Gate::gshard;
  if (name == "switch") return kernels::Gate::switch_top1;
  if (name == "sigmoid_bias") return kernels::Gate::sigmoid_bias;
  return kernels::Gate::softmax_renormalized;
}

constexpr double kReal = sizeof(Real);

}  // namespace

MoeLayer::MoeLayer(const Builder& b)
    : layer_(b.layer()),
      tokens_(b.tokens()),
      sequence_(b.batch().sequence),
      d_(b.model().d_model),
      f_(b.model().expert_hidden),
      experts_(b.model().experts),
      top_k_(b.model().top_k),
      gate_(gate_of(b.model().gate)),
      first_choice_balance_(gate_ == kernels::Gate::gshard),
      router_config_(b.router()),
      activation_(b.model()),
      state_(b.state()),
      router_(b.weight("ffn.router")),
      shared_(b.model().shared_experts > 0 ? std::make_shared<FeedForward>(b, "ffn.shared")
                                           : nullptr),
      run_(std::make_shared<Shared>()) {
  if (gate_ == kernels::Gate::sigmoid_bias) router_bias_ = b.weight("ffn.router_bias");
  const auto count = static_cast<size_t>(experts_);
  for (int64_t e = 0; e < experts_; ++e) {
    up_ids_.push_back(b.weight(concat("ffn.experts.", e, ".up")).id);
    down_ids_.push_back(b.weight(concat("ffn.experts.", e, ".down")).id);
  }
  run_->offsets.resize(count + 1);
  run_->taken.resize(count);
  run_->sequence_counts.resize(static_cast<size_t>(b.batch().sequences) * count);
  run_->up.resize(count);
  run_->down.resize(count);
  run_->dup.resize(count);
  run_->ddown.resize(count);
  run_->balance_gradient.resize(count);
}

OpCost MoeLayer::row_cost(RowsId rows, double flops, double bytes) const {
  return {.flops = 0, .bytes = 0, .rows = rows, .flops_per_row = flops, .bytes_per_row = bytes};
}

void MoeLayer::resolve_experts() const {
  for (size_t e = 0; e < up_ids_.size(); ++e) {
    run_->up[e] = state_->parameters.value[static_cast<size_t>(up_ids_[e])];
    run_->down[e] = state_->parameters.value[static_cast<size_t>(down_ids_[e])];
  }
}

void MoeLayer::resolve_gradients() const {
  for (size_t e = 0; e < up_ids_.size(); ++e) {
    run_->dup[e] = state_->parameters.gradient[static_cast<size_t>(up_ids_[e])];
    run_->ddown[e] = state_->parameters.gradient[static_cast<size_t>(down_ids_[e])];
  }
}

BufferId MoeLayer::forward(Builder& b, BufferId x, Saved& saved) const {
  saved.x = x;
  gate(b, saved);
  plan(b, saved);
  run_experts(b, saved);
  return combine(b, saved);
}

void MoeLayer::recompute(Builder& b, BufferId x, Saved& saved) const {
  saved.x = x;
  run_experts(b, saved);
  if (shared_) shared_->forward(b, x, saved.shared);
}

void MoeLayer::gate(Builder& b, Saved& saved) const {
  saved.logits = linear(b, "ffn.router", saved.x, tokens_, router_);
  saved.probabilities = b.matrix("ffn.probabilities", tokens_, experts_);
  saved.experts = b.integers("ffn.choices", tokens_, top_k_);
  saved.weights = b.matrix("ffn.weights", tokens_, top_k_);
  b.op(OpKind::routing, "ffn.gate", {b.weights()},
       {saved.logits, saved.probabilities, saved.experts, saved.weights},
       {.flops = 10.0 * static_cast<double>(tokens_ * experts_),
        .bytes = 3 * kReal * static_cast<double>(tokens_ * experts_),
        .rows = {},
        .flops_per_row = 0,
        .bytes_per_row = 0},
       [self = *this, saved](OpContext& c) { self.choose(c, saved); });
}

void MoeLayer::choose(OpContext& c, const Saved& saved) const {
  const StepScalars& step = state_->scalars;
  const auto logits = c.view<Real>(saved.logits, {tokens_, experts_});
  const auto probabilities = c.view<Real>(saved.probabilities, {tokens_, experts_});
  const auto experts = c.view<int32_t>(saved.experts, {tokens_, top_k_});
  const auto weights = c.view<Real>(saved.weights, {tokens_, top_k_});
  jitter(c.stream(), logits);
  if (state_->routing != nullptr) {
    state_->routing->assign(layer_,
                            {.step = step.step,
                             .first_token = step.first_token,
                             .local_token = step.local_token,
                             .local_tokens = step.local_tokens},
                            experts);
    kernels::route_given(c.stream(), gate_, logits, experts, probabilities, weights);
  } else {
    const View<const Real> bias =
        gate_ == kernels::Gate::sigmoid_bias ? router_bias_.value() : View<const Real>();
    kernels::route(c.stream(), gate_, logits, bias, probabilities, experts, weights);
  }
  if (router_config_.routed_scale != 1)
    kernels::scale(c.stream(), static_cast<Real>(router_config_.routed_scale), weights);
  add_statistics(c.stream(), saved, c);
  drop(c.stream(), experts);
}

void MoeLayer::jitter(Stream& s, View<Real> logits) const {
  const StepScalars& step = state_->scalars;
  if (router_config_.jitter <= 0 || !step.training) return;
  kernels::router_jitter(s, static_cast<Real>(router_config_.jitter),
                         step.seed + static_cast<uint64_t>(step.step),
                         static_cast<uint64_t>(layer_), step.first_token, logits);
}

void MoeLayer::drop(Stream& s, View<int32_t> experts) const {
  if (router_config_.capacity_factor <= 0) return;
  const StepScalars& step = state_->scalars;
  if (!step.accumulate) std::fill(run_->taken.begin(), run_->taken.end(), 0);
  const auto capacity = static_cast<int64_t>(
      std::ceil(router_config_.capacity_factor * static_cast<double>(step.global_tokens * top_k_) /
                static_cast<double>(experts_)));
  MoeStatistics& statistics = state_->statistics.layers[static_cast<size_t>(layer_)];
  statistics.dropped += kernels::drop_over_capacity(s, capacity, run_->taken, experts);
}

double MoeLayer::balance_factor() const {
  return gate_ == kernels::Gate::sigmoid_bias ? 0 : router_config_.balance_loss;
}

// The balance loss of a sequence is coefficient * E * sum_e f_e P_e, averaged over the sequences of
// the global batch; over scope "batch" the whole batch counts as one sequence.
void MoeLayer::add_statistics(Stream& s, const Saved& saved, OpContext& c) const {
  const bool whole = router_config_.balance_scope == "batch";
  const int64_t span = whole ? tokens_ : sequence_;
  const auto experts = c.view<int32_t>(saved.experts, {tokens_, top_k_});
  const auto logits = c.view<const Real>(saved.logits, {tokens_, experts_});
  const auto probabilities = c.view<const Real>(saved.probabilities, {tokens_, experts_});
  const int64_t choices = first_choice_balance_ ? 1 : top_k_;
  MoeStatistics& statistics = state_->statistics.layers[static_cast<size_t>(layer_)];
  const auto global_tokens = static_cast<double>(state_->scalars.global_tokens);
  std::vector<Real>& sums = run_->balance_gradient;
  for (int64_t begin = 0; begin < tokens_; begin += span) {
    const std::span<int64_t> counts(run_->sequence_counts.data() + begin / span * experts_,
                                    static_cast<size_t>(experts_));
    const View<const int32_t> part(experts.row(begin), {span, choices}, top_k_);
    kernels::count_experts(s, part, counts);
    const double squares =
        kernels::router_statistics(s, logits.rows(begin, span), probabilities.rows(begin, span),
                                   View<Real>(sums.data(), {experts_}));
    double product = 0;
    for (int64_t e = 0; e < experts_; ++e)
      product += static_cast<double>(counts[static_cast<size_t>(e)]) *
                 static_cast<double>(sums[static_cast<size_t>(e)]);
    const auto tokens = static_cast<double>(span);
    statistics.balance_loss += balance_factor() * static_cast<double>(experts_) * product /
                               (tokens * static_cast<double>(choices)) / global_tokens;
    statistics.z_loss += router_config_.z_loss * squares / global_tokens;
  }
  for (int64_t t = 0; t < tokens_; ++t)
    for (int64_t k = 0; k < top_k_; ++k)
      ++statistics.counts[static_cast<size_t>(experts.row(t)[k])];
}

void MoeLayer::plan(Builder& b, Saved& saved) const {
  saved.row_count = b.graph().add_rows(concat("layers.", layer_, ".ffn.rows"), tokens_ * top_k_);
  saved.row_of = b.integers("ffn.row_of", tokens_, top_k_);
  saved.choice_of = b.integers("ffn.choice_of", tokens_ * top_k_, 1);
  b.op(OpKind::routing, "ffn.plan", {saved.experts}, {saved.row_of, saved.choice_of},
       {.flops = 0,
        .bytes = 12.0 * static_cast<double>(tokens_ * top_k_),
        .rows = {},
        .flops_per_row = 0,
        .bytes_per_row = 0},
       [self = *this, saved](OpContext& c) {
         const int64_t rows = kernels::plan_permutation(
             c.stream(), c.view<const int32_t>(saved.experts, {self.tokens_, self.top_k_}),
             self.run_->offsets, c.view<int32_t>(saved.row_of, {self.tokens_, self.top_k_}),
             c.view<int32_t>(saved.choice_of, {self.tokens_ * self.top_k_}));
         c.set_rows(saved.row_count, rows);
       });
}

void MoeLayer::run_experts(Builder& b, Saved& saved) const {
  const RowsId rows = saved.row_count;
  const int64_t up_width = activation_.fan() * f_;
  saved.rows = b.pooled("ffn.rows", rows, d_);
  saved.up = b.pooled("ffn.up", rows, up_width);
  saved.hidden = b.pooled("ffn.hidden", rows, f_);
  saved.out = b.pooled("ffn.out", rows, d_);
  b.op(OpKind::permutation, "ffn.permute", {saved.x, saved.choice_of}, {saved.rows},
       row_cost(rows, 0, 2 * kReal * static_cast<double>(d_)), [self = *this, saved](OpContext& c) {
         const int64_t count = c.rows(saved.row_count);
         kernels::permute(c.stream(), c.view<const Real>(saved.x, {self.tokens_, self.d_}),
                          self.top_k_, c.view<const int32_t>(saved.choice_of, {count}),
                          c.view<Real>(saved.rows, {count, self.d_}));
       });
  b.op(OpKind::expert_gemm, "ffn.experts.up", {saved.rows, b.expert_weights()}, {saved.up},
       row_cost(rows, 2.0 * static_cast<double>(d_ * up_width),
                kReal * static_cast<double>(d_ + up_width)),
       [self = *this, saved, up_width](OpContext& c) {
         const int64_t count = c.rows(saved.row_count);
         self.resolve_experts();
         kernels::grouped_linear(c.stream(), c.view<const Real>(saved.rows, {count, self.d_}),
                                 self.run_->offsets,
                                 {.data = self.run_->up, .n = up_width, .k = self.d_},
                                 c.view<Real>(saved.up, {count, up_width}));
       });
  b.op(OpKind::elementwise, "ffn.experts.activation", {saved.up}, {saved.hidden},
       row_cost(rows, 10.0 * static_cast<double>(f_), kReal * static_cast<double>(up_width + f_)),
       [self = *this, saved, up_width](OpContext& c) {
         const int64_t count = c.rows(saved.row_count);
         self.activation_.forward(c.stream(), c.view<const Real>(saved.up, {count, up_width}),
                                  c.view<Real>(saved.hidden, {count, self.f_}));
       });
  b.op(OpKind::expert_gemm, "ffn.experts.down", {saved.hidden, b.expert_weights()}, {saved.out},
       row_cost(rows, 2.0 * static_cast<double>(d_ * f_), kReal * static_cast<double>(d_ + f_)),
       [self = *this, saved](OpContext& c) {
         const int64_t count = c.rows(saved.row_count);
         kernels::grouped_linear(c.stream(), c.view<const Real>(saved.hidden, {count, self.f_}),
                                 self.run_->offsets,
                                 {.data = self.run_->down, .n = self.d_, .k = self.f_},
                                 c.view<Real>(saved.out, {count, self.d_}));
       });
}

BufferId MoeLayer::combine(Builder& b, Saved& saved) const {
  const BufferId y =
      shared_ ? shared_->forward(b, saved.x, saved.shared) : b.matrix("ffn.y", tokens_, d_);
  const bool accumulate = shared_ != nullptr;
  b.op(
      OpKind::permutation, "ffn.combine", {saved.out, saved.row_of, saved.weights}, {y},
      row_cost(saved.row_count, 2.0 * static_cast<double>(d_), 2 * kReal * static_cast<double>(d_)),
      [self = *this, saved, y, accumulate](OpContext& c) {
        const int64_t count = c.rows(saved.row_count);
        kernels::unpermute(c.stream(), c.view<const Real>(saved.out, {count, self.d_}),
                           c.view<const int32_t>(saved.row_of, {self.tokens_, self.top_k_}),
                           c.view<const Real>(saved.weights, {self.tokens_, self.top_k_}),
                           c.view<Real>(y, {self.tokens_, self.d_}), accumulate);
      });
  return y;
}

BufferId MoeLayer::backward(Builder& b, const Saved& saved, BufferId dy) const {
  const BufferId dweights = b.matrix("ffn.dweights", tokens_, top_k_);
  b.op(
      OpKind::permutation, "ffn.combine.dx", {dy, saved.row_of, saved.choice_of, saved.weights},
      {saved.out, dweights},
      row_cost(saved.row_count, 4.0 * static_cast<double>(d_), 3 * kReal * static_cast<double>(d_)),
      [self = *this, saved, dy, dweights](OpContext& c) {
        const int64_t count = c.rows(saved.row_count);
        const auto rows = c.view<Real>(saved.out, {count, self.d_});
        const auto gradient = c.view<Real>(dweights, {self.tokens_, self.top_k_});
        kernels::unpermute_backward(
            c.stream(), c.view<const Real>(dy, {self.tokens_, self.d_}), rows,
            c.view<const int32_t>(saved.row_of, {self.tokens_, self.top_k_}),
            c.view<const int32_t>(saved.choice_of, {count}),
            c.view<const Real>(saved.weights, {self.tokens_, self.top_k_}), rows, gradient);
        if (self.router_config_.routed_scale != 1)
          kernels::scale(c.stream(), static_cast<Real>(self.router_config_.routed_scale), gradient);
      });
  const BufferId drows = b.pooled("ffn.drows", saved.row_count, d_);
  experts_backward(b, saved, drows);
  const BufferId dx =
      shared_ ? shared_->backward(b, saved.shared, dy) : b.matrix("ffn.dx", tokens_, d_);
  const bool accumulate = shared_ != nullptr;
  b.op(OpKind::permutation, "ffn.permute.dx", {drows, saved.row_of}, {dx},
       row_cost(saved.row_count, static_cast<double>(d_), 2 * kReal * static_cast<double>(d_)),
       [self = *this, saved, drows, dx, accumulate](OpContext& c) {
         const int64_t count = c.rows(saved.row_count);
         kernels::permute_backward(c.stream(), c.view<const Real>(drows, {count, self.d_}),
                                   c.view<const int32_t>(saved.row_of, {self.tokens_, self.top_k_}),
                                   c.view<Real>(dx, {self.tokens_, self.d_}), accumulate);
       });
  gate_backward(b, saved, dweights, dx);
  return dx;
}

// saved.out holds the gradient of the experts' outputs; saved.up becomes that of their inputs to
// the activation.
void MoeLayer::experts_backward(Builder& b, const Saved& saved, BufferId drows) const {
  const RowsId rows = saved.row_count;
  const int64_t up_width = activation_.fan() * f_;
  const BufferId dhidden = b.pooled("ffn.dhidden", rows, f_);
  const OpCost down_cost =
      row_cost(rows, 2.0 * static_cast<double>(d_ * f_), kReal * static_cast<double>(d_ + f_));
  const OpCost up_cost = row_cost(rows, 2.0 * static_cast<double>(d_ * up_width),
                                  kReal * static_cast<double>(d_ + up_width));
  b.op(OpKind::expert_gemm, "ffn.experts.down.dx", {saved.out, b.expert_weights()}, {dhidden},
       down_cost, [self = *this, saved, dhidden](OpContext& c) {
         const int64_t count = c.rows(saved.row_count);
         self.resolve_experts();
         kernels::grouped_linear_backward_input(
             c.stream(), c.view<const Real>(saved.out, {count, self.d_}), self.run_->offsets,
             {.data = self.run_->down, .n = self.d_, .k = self.f_},
             c.view<Real>(dhidden, {count, self.f_}));
       });
  b.op(OpKind::expert_gemm, "ffn.experts.down.dw", {saved.out, saved.hidden},
       {b.expert_gradients()}, down_cost, [self = *this, saved](OpContext& c) {
         const int64_t count = c.rows(saved.row_count);
         self.resolve_gradients();
         kernels::grouped_linear_backward_weight(
             c.stream(), c.view<const Real>(saved.out, {count, self.d_}),
             c.view<const Real>(saved.hidden, {count, self.f_}), self.run_->offsets,
             {.data = self.run_->ddown, .n = self.d_, .k = self.f_},
             self.state_->scalars.accumulate);
       });
  b.op(OpKind::elementwise, "ffn.experts.activation.dx", {dhidden}, {saved.up},
       row_cost(rows, 16.0 * static_cast<double>(f_),
                kReal * static_cast<double>(2 * up_width + f_)),
       [self = *this, saved, dhidden, up_width](OpContext& c) {
         const int64_t count = c.rows(saved.row_count);
         const auto up = c.view<Real>(saved.up, {count, up_width});
         self.activation_.backward(c.stream(), up, c.view<const Real>(dhidden, {count, self.f_}),
                                   up);
       });
  b.op(OpKind::expert_gemm, "ffn.experts.up.dx", {saved.up, b.expert_weights()}, {drows}, up_cost,
       [self = *this, saved, drows, up_width](OpContext& c) {
         const int64_t count = c.rows(saved.row_count);
         kernels::grouped_linear_backward_input(
             c.stream(), c.view<const Real>(saved.up, {count, up_width}), self.run_->offsets,
             {.data = self.run_->up, .n = up_width, .k = self.d_},
             c.view<Real>(drows, {count, self.d_}));
       });
  b.op(OpKind::expert_gemm, "ffn.experts.up.dw", {saved.up, saved.rows}, {b.expert_gradients()},
       up_cost, [self = *this, saved, up_width](OpContext& c) {
         const int64_t count = c.rows(saved.row_count);
         kernels::grouped_linear_backward_weight(
             c.stream(), c.view<const Real>(saved.up, {count, up_width}),
             c.view<const Real>(saved.rows, {count, self.d_}), self.run_->offsets,
             {.data = self.run_->dup, .n = up_width, .k = self.d_},
             self.state_->scalars.accumulate);
       });
}

void MoeLayer::gate_backward(Builder& b, const Saved& saved, BufferId dweights, BufferId dx) const {
  const BufferId dlogits = b.matrix("ffn.dlogits", tokens_, experts_);
  b.op(OpKind::routing, "ffn.gate.dx", {saved.logits, saved.probabilities, saved.experts, dweights},
       {dlogits},
       {.flops = 10.0 * static_cast<double>(tokens_ * experts_),
        .bytes = 3 * kReal * static_cast<double>(tokens_ * experts_),
        .rows = {},
        .flops_per_row = 0,
        .bytes_per_row = 0},
       [self = *this, saved, dweights, dlogits](OpContext& c) {
         self.run_gate_backward(c, saved, dweights, dlogits);
       });
  linear_backward_into(b, "ffn.router", saved.x, dlogits, tokens_, router_, dx);
}

void MoeLayer::run_gate_backward(OpContext& c, const Saved& saved, BufferId dweights,
                                 BufferId dlogits) const {
  const auto logits = c.view<const Real>(saved.logits, {tokens_, experts_});
  const auto probabilities = c.view<const Real>(saved.probabilities, {tokens_, experts_});
  const auto experts = c.view<const int32_t>(saved.experts, {tokens_, top_k_});
  const auto gradient = c.view<const Real>(dweights, {tokens_, top_k_});
  const auto out = c.view<Real>(dlogits, {tokens_, experts_});
  const int64_t span = router_config_.balance_scope == "batch" ? tokens_ : sequence_;
  const auto choices = static_cast<double>(first_choice_balance_ ? 1 : top_k_);
  const auto global_tokens = static_cast<double>(state_->scalars.global_tokens);
  const auto z_scale = static_cast<Real>(router_config_.z_loss / global_tokens);
  for (int64_t begin = 0; begin < tokens_; begin += span) {
    View<const Real> balance;
    if (balance_factor() > 0) {
      const int64_t* counts = run_->sequence_counts.data() + begin / span * experts_;
      for (int64_t e = 0; e < experts_; ++e)
        run_->balance_gradient[static_cast<size_t>(e)] =
            static_cast<Real>(balance_factor() * static_cast<double>(experts_ * counts[e]) /
                              (static_cast<double>(span) * choices) / global_tokens);
      balance = View<const Real>(run_->balance_gradient.data(), {experts_});
    }
    kernels::route_backward(c.stream(), gate_, logits.rows(begin, span),
                            probabilities.rows(begin, span), experts.rows(begin, span),
                            gradient.rows(begin, span), balance, z_scale, out.rows(begin, span));
  }
  jitter(c.stream(), out);  // the forward multiplied the logits by the same noise
}

}  // namespace hecate::models
