#include "models/layers/latent_attention.h"

#include "models/layers/cached_attention.h"
#include "models/mup.h"
#include "runtime/kernels/latent.h"
#include "runtime/kernels/norm.h"
#include "runtime/kernels/rope.h"

namespace hecate::models {
namespace {

OpCost move_cost(int64_t elements, double passes) {
  return {.flops = 2.0 * static_cast<double>(elements),
          .bytes = passes * static_cast<double>(elements) * sizeof(Real),
          .rows = {},
          .flops_per_row = 0,
          .bytes_per_row = 0};
}

OpCost core_cost(int64_t tokens, int64_t sequence, bool causal, int64_t width, double products) {
  const double pairs =
      static_cast<double>(tokens) * static_cast<double>(causal ? sequence + 1 : 2 * sequence) / 2;
  return {.flops = products * pairs * static_cast<double>(width),
          .bytes = 2.0 * static_cast<double>(tokens * width) * sizeof(Real),
          .rows = {},
          .flops_per_row = 0,
          .bytes_per_row = 0};
}

View<const int32_t> documents(OpContext& c, const AttentionInputs& inputs, int64_t tokens) {
  return inputs.document_begin.valid() ? c.view<const int32_t>(inputs.document_begin, {tokens})
                                       : View<const int32_t>();
}

}  // namespace

LatentAttention::LatentAttention(const Builder& b)
    : tokens_(b.tokens()),
      sequence_(b.batch().sequence),
      heads_(b.model().heads),
      rank_(b.model().kv_lora_rank),
      nope_(b.model().nope_dim),
      rope_(b.model().rope_dim),
      value_(b.model().v_dim),
      causal_(b.model().objective == "causal"),
      scale_(attention_scale(b.model(), nope_ + rope_)),
      eps_(static_cast<Real>(b.model().norm_eps)),
      q_(b.weight("attention.q")),
      kv_down_(b.weight("attention.kv_down")),
      kv_norm_(b.weight("attention.kv_norm.weight")),
      kv_up_(b.weight("attention.kv_up")),
      output_(b.weight("attention.output")) {}

kernels::AttentionShape LatentAttention::shape() const {
  return {.sequence = sequence_, .causal = causal_, .scale = scale_};
}

// The rotary parts: of q as T*H rows inside [T*H, nope+rope], of the shared key inside `down`.
void LatentAttention::rotate(Builder& b, const AttentionInputs& inputs, BufferId q, BufferId down,
                             bool inverse) const {
  b.op(OpKind::elementwise, inverse ? "attention.rope.dx" : "attention.rope",
       {inputs.positions, inputs.head_positions, inputs.rope_table}, {q, down},
       move_cost(tokens_ * (heads_ + 1) * rope_, 2),
       [self = *this, inputs, q, down, inverse](OpContext& c) {
         const int64_t rows = self.tokens_ * self.heads_, size = self.nope_ + self.rope_;
         const auto table = c.view<const Real>(inputs.rope_table, {inputs.rope_rows, self.rope_});
         const auto queries = c.view<Real>(q, {rows, size});
         kernels::rope(c.stream(),
                       View<Real>(queries.data() + self.nope_, {rows, 1, self.rope_}, size),
                       c.view<const int32_t>(inputs.head_positions, {rows}), table, inverse);
         const auto compressed = c.view<Real>(down, {self.tokens_, self.down_width()});
         kernels::rope(c.stream(),
                       View<Real>(compressed.data() + self.rank_, {self.tokens_, 1, self.rope_},
                                  self.down_width()),
                       c.view<const int32_t>(inputs.positions, {self.tokens_}), table, inverse);
       });
}

void LatentAttention::compress(Builder& b, Saved& saved) const {
  saved.latent = b.matrix("attention.latent", tokens_, rank_);
  saved.rstd = b.matrix("attention.latent_rstd", tokens_, 1);
  b.op(OpKind::normalization, "attention.kv_norm", {saved.down, b.weights()},
       {saved.latent, saved.rstd}, move_cost(tokens_ * rank_, 2),
       [self = *this, saved](OpContext& c) {
         const auto down = c.view<const Real>(saved.down, {self.tokens_, self.down_width()});
         kernels::rms_norm(
             c.stream(),
             View<const Real>(down.data(), {self.tokens_, self.rank_}, self.down_width()),
             self.kv_norm_.value(), self.eps_,
             c.view<Real>(saved.latent, {self.tokens_, self.rank_}),
             c.view<Real>(saved.rstd, {self.tokens_}));
       });
}

BufferId LatentAttention::forward(Builder& b, const AttentionInputs& inputs, BufferId x,
                                  Saved& saved) const {
  saved.x = x;
  saved.q = linear(b, "attention.q", x, tokens_, q_);
  saved.down = linear(b, "attention.kv_down", x, tokens_, kv_down_);
  compress(b, saved);
  rotate(b, inputs, saved.q, saved.down, false);
  saved.up = linear(b, "attention.kv_up", saved.latent, tokens_, kv_up_);
  saved.keys = b.matrix("attention.keys", tokens_, heads_ * (nope_ + rope_));
  saved.values = b.matrix("attention.values", tokens_, heads_ * value_);
  b.op(OpKind::elementwise, "attention.split", {saved.up, saved.down}, {saved.keys, saved.values},
       move_cost(tokens_ * up_width(), 2), [self = *this, saved](OpContext& c) {
         const auto down = c.view<const Real>(saved.down, {self.tokens_, self.down_width()});
         kernels::latent_split(
             c.stream(),
             c.view<const Real>(saved.up, {self.tokens_, self.heads_, self.nope_ + self.value_}),
             View<const Real>(down.data() + self.rank_, {self.tokens_, self.rope_},
                              self.down_width()),
             c.view<Real>(saved.keys, {self.tokens_, self.heads_, self.nope_ + self.rope_}),
             c.view<Real>(saved.values, {self.tokens_, self.heads_, self.value_}));
       });
  saved.out = b.matrix("attention.out", tokens_, heads_ * value_);
  std::vector<BufferId> reads = {saved.q, saved.keys, saved.values};
  if (inputs.cache != nullptr) {
    const Shape key = {tokens_, heads_, nope_ + rope_}, value = {tokens_, heads_, value_};
    const auto view = [](BufferId buffer, Shape view_shape) {
      return [=](OpContext& c) { return c.view<const Real>(buffer, view_shape); };
    };
    const CachedHeads heads{.reads = reads,
                            .queries = view(saved.q, key),
                            .keys = view(saved.keys, key),
                            .values = view(saved.values, value)};
    if (inputs.decode) {
      decode_attention(b, inputs, heads, shape().scale, value, saved.out);
      return linear(b, "attention.output", saved.out, tokens_, output_);
    }
    fill_cache(b, inputs, heads);
  }
  saved.lse = b.matrix("attention.lse", tokens_, heads_);
  if (inputs.document_begin.valid()) reads.push_back(inputs.document_begin);
  b.op(OpKind::attention, "attention.core", reads, {saved.out, saved.lse},
       core_cost(tokens_, sequence_, causal_, heads_ * (nope_ + rope_ + value_), 2),
       [self = *this, inputs, saved](OpContext& c) {
         const Shape key = {self.tokens_, self.heads_, self.nope_ + self.rope_};
         const Shape value = {self.tokens_, self.heads_, self.value_};
         kernels::attention(c.stream(), self.shape(), c.view<const Real>(saved.q, key),
                            c.view<const Real>(saved.keys, key),
                            c.view<const Real>(saved.values, value),
                            documents(c, inputs, self.tokens_), c.view<Real>(saved.out, value),
                            c.view<Real>(saved.lse, {self.tokens_, self.heads_}));
       });
  return linear(b, "attention.output", saved.out, tokens_, output_);
}

BufferId LatentAttention::backward(Builder& b, const AttentionInputs& inputs, const Saved& saved,
                                   BufferId dy) const {
  const BufferId dout = linear_backward(b, "attention.output", saved.out, dy, tokens_, output_);
  const BufferId dq = b.matrix("attention.dq", tokens_, heads_ * (nope_ + rope_));
  const BufferId dkeys = b.matrix("attention.dkeys", tokens_, heads_ * (nope_ + rope_));
  const BufferId dvalues = b.matrix("attention.dvalues", tokens_, heads_ * value_);
  std::vector<BufferId> reads = {saved.q, saved.keys, saved.values, saved.out, saved.lse, dout};
  if (inputs.document_begin.valid()) reads.push_back(inputs.document_begin);
  b.op(OpKind::attention, "attention.core.dx", reads, {dq, dkeys, dvalues},
       core_cost(tokens_, sequence_, causal_, heads_ * (nope_ + rope_ + value_), 5),
       [=, self = *this](OpContext& c) {
         const Shape key = {self.tokens_, self.heads_, self.nope_ + self.rope_};
         const Shape value = {self.tokens_, self.heads_, self.value_};
         kernels::attention_backward(
             c.stream(), self.shape(), c.view<const Real>(saved.q, key),
             c.view<const Real>(saved.keys, key), c.view<const Real>(saved.values, value),
             documents(c, inputs, self.tokens_), c.view<const Real>(saved.out, value),
             c.view<const Real>(saved.lse, {self.tokens_, self.heads_}),
             c.view<const Real>(dout, value), c.view<Real>(dq, key), c.view<Real>(dkeys, key),
             c.view<Real>(dvalues, value));
       });
  const BufferId dup = b.matrix("attention.dup", tokens_, up_width());
  const BufferId ddown = b.matrix("attention.ddown", tokens_, down_width());
  b.op(OpKind::elementwise, "attention.split.dx", {dkeys, dvalues}, {dup, ddown},
       move_cost(tokens_ * up_width(), 2), [=, self = *this](OpContext& c) {
         const auto down = c.view<Real>(ddown, {self.tokens_, self.down_width()});
         kernels::latent_split_backward(
             c.stream(),
             c.view<const Real>(dkeys, {self.tokens_, self.heads_, self.nope_ + self.rope_}),
             c.view<const Real>(dvalues, {self.tokens_, self.heads_, self.value_}),
             c.view<Real>(dup, {self.tokens_, self.heads_, self.nope_ + self.value_}),
             View<Real>(down.data() + self.rank_, {self.tokens_, self.rope_}, self.down_width()));
       });
  const BufferId dlatent =
      linear_backward(b, "attention.kv_up", saved.latent, dup, tokens_, kv_up_);
  clear_gradients(b, "attention.kv_norm.clear", {kv_norm_});
  b.op(OpKind::normalization, "attention.kv_norm.dx",
       {saved.down, saved.rstd, dlatent, b.weights()}, {ddown, b.gradients()},
       move_cost(tokens_ * rank_, 4), [=, self = *this](OpContext& c) {
         const Shape rows = {self.tokens_, self.rank_};
         const auto x = c.view<const Real>(saved.down, {self.tokens_, self.down_width()});
         const auto dx = c.view<Real>(ddown, {self.tokens_, self.down_width()});
         kernels::rms_norm_backward(
             c.stream(), View<const Real>(x.data(), rows, self.down_width()), self.kv_norm_.value(),
             c.view<const Real>(saved.rstd, {self.tokens_}), c.view<const Real>(dlatent, rows),
             View<Real>(dx.data(), rows, self.down_width()), false, self.kv_norm_.gradient());
       });
  rotate(b, inputs, dq, ddown, true);
  const BufferId dx = linear_backward(b, "attention.q", saved.x, dq, tokens_, q_);
  linear_backward_into(b, "attention.kv_down", saved.x, ddown, tokens_, kv_down_, dx);
  return dx;
}

}  // namespace hecate::models
