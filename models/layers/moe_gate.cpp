#include "models/layers/moe_gate.h"

#include <algorithm>
#include <cmath>

#include "models/layers/norm.h"
#include "runtime/kernels/elementwise.h"

namespace hecate::models {
namespace {

kernels::Gate gate_of(const std::string& name) {
  if (name == "softmax") return kernels::Gate::softmax;
  if (name == "gshard") return kernels::Gate::gshard;
  if (name == "switch") return kernels::Gate::switch_top1;
  if (name == "sigmoid_bias") return kernels::Gate::sigmoid_bias;
  return kernels::Gate::softmax_renormalized;
}

}  // namespace

int64_t routing_counts(const ModelConfig& model, const RouterConfig& router) {
  return router.balance_scope == "batch" && model.gate == "gshard" ? 2 * model.experts
                                                                   : model.experts;
}

MoeGate::MoeGate(const Builder& b)
    : layer_(b.layer()),
      tokens_(b.tokens()),
      sequence_(b.batch().sequence),
      experts_(b.model().experts),
      top_k_(b.model().top_k),
      gate_(gate_of(b.model().gate)),
      first_choice_balance_(gate_ == kernels::Gate::gshard),
      config_(b.router()),
      state_(b.state()),
      router_(b.weight("ffn.router")),
      run_(std::make_shared<Scratch>()) {
  if (gate_ == kernels::Gate::sigmoid_bias) router_bias_ = b.weight("ffn.router_bias");
  counts_ = routing_counts(b.model(), config_);
  run_->span_counts.resize(static_cast<size_t>(tokens_ / span() * experts_));
  run_->balance_gradient.resize(static_cast<size_t>(experts_));
}

OpCost MoeGate::cost() const {
  const auto elements = static_cast<double>(tokens_ * experts_);
  return {.flops = 10.0 * elements,
          .bytes = 3 * sizeof(Real) * elements,
          .rows = {},
          .flops_per_row = 0,
          .bytes_per_row = 0};
}

int64_t MoeGate::capacity() const {
  if (config_.capacity_factor <= 0) return -1;
  return static_cast<int64_t>(std::ceil(
      config_.capacity_factor * static_cast<double>(state_->scalars.global_tokens * top_k_) /
      static_cast<double>(experts_)));
}

void MoeGate::choose(Builder& b, BufferId x, Saved& saved) const {
  saved.x = x;
  saved.logits = linear(b, "ffn.router", x, tokens_, router_);
  saved.probabilities = b.matrix("ffn.probabilities", tokens_, experts_);
  saved.experts = b.integers("ffn.choices", tokens_, top_k_);
  saved.weights = b.matrix("ffn.weights", tokens_, top_k_);
  saved.counts = b.counts("ffn.counts", counts_);
  b.op(OpKind::routing, "ffn.gate", {b.weights()},
       {saved.logits, saved.probabilities, saved.experts, saved.weights, saved.counts}, cost(),
       [self = *this, saved](OpContext& c) { self.run_choose(c, saved); });
}

void MoeGate::run_choose(OpContext& c, const Saved& saved) const {
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
  if (config_.routed_scale != 1)
    kernels::scale(c.stream(), static_cast<Real>(config_.routed_scale), weights);
  const auto counts = c.view<int64_t>(saved.counts, {counts_});
  const auto size = static_cast<size_t>(experts_);
  kernels::count_experts(c.stream(), experts, std::span(counts.data(), size));
  if (counts_ > experts_)
    kernels::count_experts(c.stream(), View<const int32_t>(experts.data(), {tokens_, 1}, top_k_),
                           std::span(counts.data() + experts_, size));
}

void MoeGate::jitter(Stream& s, View<Real> logits) const {
  const StepScalars& step = state_->scalars;
  if (config_.jitter <= 0 || !step.training) return;
  kernels::router_jitter(s, static_cast<Real>(config_.jitter),
                         step.seed + static_cast<uint64_t>(step.step),
                         static_cast<uint64_t>(layer_), step.first_token, logits);
}

double MoeGate::balance_factor() const {
  return gate_ == kernels::Gate::sigmoid_bias ? 0 : config_.balance_loss;
}

double MoeGate::balance_tokens() const {
  return static_cast<double>(whole_batch() ? state_->scalars.global_tokens : sequence_);
}

void MoeGate::settle(OpContext& c, const Saved& saved, const Wider& wider) const {
  balance(c, saved, wider);
  MoeStatistics& statistics = state_->statistics.layers[static_cast<size_t>(layer_)];
  for (size_t e = 0; e < static_cast<size_t>(experts_); ++e) statistics.counts[e] += wider.total[e];
  const int64_t limit = capacity();
  if (limit < 0) return;
  statistics.dropped += kernels::drop_over_capacity(
      c.stream(), limit, wider.taken, c.view<int32_t>(saved.experts, {tokens_, top_k_}));
}

// The balance loss of a sequence is coefficient * E * sum_e f_e P_e, averaged over the sequences of
// the global batch; over scope "batch" the whole batch counts as one sequence. This rank adds its
// tokens' part of P.
void MoeGate::balance(OpContext& c, const Saved& saved, const Wider& wider) const {
  const auto experts = c.view<const int32_t>(saved.experts, {tokens_, top_k_});
  const auto logits = c.view<const Real>(saved.logits, {tokens_, experts_});
  const auto probabilities = c.view<const Real>(saved.probabilities, {tokens_, experts_});
  const int64_t choices = first_choice_balance_ ? 1 : top_k_;
  MoeStatistics& statistics = state_->statistics.layers[static_cast<size_t>(layer_)];
  const auto global_tokens = static_cast<double>(state_->scalars.global_tokens);
  std::vector<Real>& sums = run_->balance_gradient;
  for (int64_t begin = 0; begin < tokens_; begin += span()) {
    const std::span<int64_t> counts(run_->span_counts.data() + begin / span() * experts_,
                                    static_cast<size_t>(experts_));
    if (whole_batch())
      std::copy_n(wider.total + counts_ - experts_, counts.size(), counts.begin());
    else
      kernels::count_experts(
          c.stream(), View<const int32_t>(experts.row(begin), {span(), choices}, top_k_), counts);
    const double squares = kernels::router_statistics(c.stream(), logits.rows(begin, span()),
                                                      probabilities.rows(begin, span()),
                                                      View<Real>(sums.data(), {experts_}));
    double product = 0;
    for (size_t e = 0; e < counts.size(); ++e)
      product += static_cast<double>(counts[e]) * static_cast<double>(sums[e]);
    statistics.balance_loss += balance_factor() * static_cast<double>(experts_) * product /
                               (balance_tokens() * static_cast<double>(choices)) / global_tokens;
    statistics.z_loss += config_.z_loss * squares / global_tokens;
  }
}

void MoeGate::backward(Builder& b, const Saved& saved, BufferId dweights, BufferId dx) const {
  const BufferId dlogits = b.matrix("ffn.dlogits", tokens_, experts_);
  b.op(OpKind::routing, "ffn.gate.dx", {saved.logits, saved.probabilities, saved.experts, dweights},
       {dlogits}, cost(), [self = *this, saved, dweights, dlogits](OpContext& c) {
         self.run_backward(c, saved, dweights, dlogits);
       });
  linear_backward_into(b, "ffn.router", saved.x, dlogits, tokens_, router_, dx);
  // No gradient reaches the bias, but its place may hold another layer's.
  if (gate_ == kernels::Gate::sigmoid_bias && b.fresh_gradients())
    clear_gradients(b, "ffn.router_bias.clear", {router_bias_});
}

void MoeGate::run_backward(OpContext& c, const Saved& saved, BufferId dweights,
                           BufferId dlogits) const {
  const auto logits = c.view<const Real>(saved.logits, {tokens_, experts_});
  const auto probabilities = c.view<const Real>(saved.probabilities, {tokens_, experts_});
  const auto experts = c.view<const int32_t>(saved.experts, {tokens_, top_k_});
  const auto gradient = c.view<const Real>(dweights, {tokens_, top_k_});
  const auto out = c.view<Real>(dlogits, {tokens_, experts_});
  const auto choices = static_cast<double>(first_choice_balance_ ? 1 : top_k_);
  const auto global_tokens = static_cast<double>(state_->scalars.global_tokens);
  const auto z_scale = static_cast<Real>(config_.z_loss / global_tokens);
  for (int64_t begin = 0; begin < tokens_; begin += span()) {
    View<const Real> balance;
    if (balance_factor() > 0) {
      const int64_t* counts = run_->span_counts.data() + begin / span() * experts_;
      for (int64_t e = 0; e < experts_; ++e)
        run_->balance_gradient[static_cast<size_t>(e)] =
            static_cast<Real>(balance_factor() * static_cast<double>(experts_ * counts[e]) /
                              (balance_tokens() * choices) / global_tokens);
      balance = View<const Real>(run_->balance_gradient.data(), {experts_});
    }
    kernels::route_backward(c.stream(), gate_, logits.rows(begin, span()),
                            probabilities.rows(begin, span()), experts.rows(begin, span()),
                            gradient.rows(begin, span()), balance, z_scale,
                            out.rows(begin, span()));
  }
  jitter(c.stream(), out);  // the forward multiplied the logits by the same noise
}

}  // namespace hecate::models
