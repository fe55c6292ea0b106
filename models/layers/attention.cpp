#include "models/layers/attention.h"

#include "models/layers/cached_attention.h"
#include "models/layers/norm.h"
#include "models/mup.h"
#include "runtime/kernels/attention.h"
#include "runtime/kernels/norm.h"
#include "runtime/kernels/rope.h"

namespace hecate::models {

Attention::Attention(const Builder& b)
    : tokens_(b.tokens()),
      sequence_(b.batch().sequence),
      heads_(b.model().heads),
      groups_(b.model().key_heads()),
      n_(b.model().head_size()),
      causal_(b.model().objective == "causal"),
      norm_(b.model().qk_norm != "none"),
      norm_full_(b.model().qk_norm == "full"),
      rotary_(b.model().positions == "rope"),
      scale_(attention_scale(b.model(), n_)),
      eps_(static_cast<Real>(b.model().norm_eps)),
      qkv_(b.weight("attention.qkv")),
      output_(b.weight("attention.output")) {
  if (norm_) {
    q_norm_ = b.weight("attention.q_norm.weight");
    k_norm_ = b.weight("attention.k_norm.weight");
  }
}

kernels::AttentionShape Attention::shape() const {
  return {.sequence = sequence_, .causal = causal_, .scale = scale_};
}

// Part 0, 1 or 2 (queries, keys, values) of a packed [T, (H+2G)N] buffer.
View<Real> Attention::part(OpContext& c, BufferId buffer, int which) const {
  const auto packed = c.view<Real>(buffer, {tokens_, width()});
  const int64_t begin = which == 0 ? 0 : (heads_ + (which - 1) * groups_) * n_;
  return {packed.data() + begin, {tokens_, which == 0 ? heads_ : groups_, n_}, width()};
}

View<const Real> Attention::query(OpContext& c, const Saved& saved) const {
  return norm_ ? c.view<const Real>(saved.q, {tokens_, heads_, n_})
               : View<const Real>(part(c, saved.qkv, 0));
}

View<const Real> Attention::key(OpContext& c, const Saved& saved) const {
  return norm_ ? c.view<const Real>(saved.k, {tokens_, groups_, n_})
               : View<const Real>(part(c, saved.qkv, 1));
}

namespace {

// The whole row as one group, for a norm over all heads.
template <class T>
View<T> as_rows(const View<T>& x) {
  return View<T>(x.data(), {x.dim(0), x.dim(1) * x.dim(2)}, x.row_stride());
}

OpCost attention_cost(int64_t tokens, int64_t sequence, int64_t heads, int64_t n, int64_t nv,
                      bool causal, double products) {
  const double pairs =
      static_cast<double>(tokens) * static_cast<double>(causal ? sequence + 1 : 2 * sequence) / 2;
  return {.flops = products * pairs * static_cast<double>(heads * (n + nv)),
          .bytes = static_cast<double>(tokens * heads * (2 * n + 2 * nv)) * sizeof(Real),
          .rows = {},
          .flops_per_row = 0,
          .bytes_per_row = 0};
}

OpCost pass_cost(int64_t elements, double passes) {
  return {.flops = 6.0 * static_cast<double>(elements),
          .bytes = passes * static_cast<double>(elements) * sizeof(Real),
          .rows = {},
          .flops_per_row = 0,
          .bytes_per_row = 0};
}

View<const int32_t> documents(OpContext& c, const AttentionInputs& inputs, int64_t tokens) {
  return inputs.document_begin.valid() ? c.view<const int32_t>(inputs.document_begin, {tokens})
                                       : View<const int32_t>();
}

}  // namespace

void Attention::normalize(Builder& b, Saved& saved) const {
  saved.q = b.matrix("attention.q", tokens_, heads_ * n_);
  saved.k = b.matrix("attention.k", tokens_, groups_ * n_);
  saved.q_rstd = b.matrix("attention.q_rstd", tokens_, norm_full_ ? 1 : heads_);
  saved.k_rstd = b.matrix("attention.k_rstd", tokens_, norm_full_ ? 1 : groups_);
  b.op(OpKind::normalization, "attention.qk_norm", {saved.qkv, b.weights()},
       {saved.q, saved.k, saved.q_rstd, saved.k_rstd},
       pass_cost(tokens_ * (heads_ + groups_) * n_, 2), [self = *this, saved](OpContext& c) {
         const auto apply = [&](int which, const Weight& gamma, BufferId out, BufferId rstd) {
           const View<Real> x = self.part(c, saved.qkv, which);
           const auto y = c.view<Real>(out, x.shape());
           const int64_t groups = self.norm_full_ ? 1 : x.dim(1);
           const auto statistics = c.view<Real>(rstd, {self.tokens_ * groups});
           if (self.norm_full_)
             kernels::rms_norm(c.stream(), as_rows(x), gamma.value(), self.eps_, as_rows(y),
                               statistics);
           else
             kernels::rms_norm(c.stream(), x, gamma.value(), self.eps_, y, statistics);
         };
         apply(0, self.q_norm_, saved.q, saved.q_rstd);
         apply(1, self.k_norm_, saved.k, saved.k_rstd);
       });
}

// dqkv holds the gradients by the normed q and k; they become those by the raw ones.
void Attention::normalize_backward(Builder& b, const Saved& saved, BufferId dqkv) const {
  clear_gradients(b, "attention.qk_norm.clear", {q_norm_, k_norm_});
  b.op(OpKind::normalization, "attention.qk_norm.dx",
       {saved.qkv, saved.q_rstd, saved.k_rstd, b.weights()}, {dqkv, b.gradients()},
       pass_cost(tokens_ * (heads_ + groups_) * n_, 4), [self = *this, saved, dqkv](OpContext& c) {
         const auto apply = [&](int which, const Weight& gamma, BufferId rstd) {
           const View<Real> x = self.part(c, saved.qkv, which);
           const View<Real> d = self.part(c, dqkv, which);
           const int64_t groups = self.norm_full_ ? 1 : x.dim(1);
           const auto statistics = c.view<const Real>(rstd, {self.tokens_ * groups});
           if (self.norm_full_)
             kernels::rms_norm_backward(c.stream(), as_rows(x), gamma.value(), statistics,
                                        as_rows(d), as_rows(d), false, gamma.gradient());
           else
             kernels::rms_norm_backward(c.stream(), x, gamma.value(), statistics, d, d, false,
                                        gamma.gradient());
         };
         apply(0, self.q_norm_, saved.q_rstd);
         apply(1, self.k_norm_, saved.k_rstd);
       });
}

// `q` and `k` are the normed buffers, or both the packed one.
void Attention::rotate(Builder& b, const AttentionInputs& inputs, BufferId q, BufferId k,
                       bool inverse) const {
  const bool packed = q == k;
  std::vector<BufferId> writes = {q};
  if (!packed) writes.push_back(k);
  b.op(OpKind::elementwise, inverse ? "attention.rope.dx" : "attention.rope",
       {inputs.positions, inputs.rope_table}, writes,
       pass_cost(tokens_ * (heads_ + groups_) * n_, 2),
       [self = *this, inputs, q, k, packed, inverse](OpContext& c) {
         const auto positions = c.view<const int32_t>(inputs.positions, {self.tokens_});
         const auto table = c.view<const Real>(inputs.rope_table, {inputs.rope_rows, self.n_});
         const auto queries =
             packed ? self.part(c, q, 0) : c.view<Real>(q, {self.tokens_, self.heads_, self.n_});
         const auto keys =
             packed ? self.part(c, k, 1) : c.view<Real>(k, {self.tokens_, self.groups_, self.n_});
         kernels::rope(c.stream(), queries, positions, table, inverse);
         kernels::rope(c.stream(), keys, positions, table, inverse);
       });
}

BufferId Attention::forward(Builder& b, const AttentionInputs& inputs, BufferId x,
                            Saved& saved) const {
  saved.x = x;
  saved.qkv = linear(b, "attention.qkv", x, tokens_, qkv_);
  if (norm_) normalize(b, saved);
  if (rotary_) rotate(b, inputs, norm_ ? saved.q : saved.qkv, norm_ ? saved.k : saved.qkv, false);
  saved.out = b.matrix("attention.out", tokens_, heads_ * n_);
  std::vector<BufferId> reads = {saved.qkv};
  if (norm_) reads.insert(reads.end(), {saved.q, saved.k});
  if (inputs.cache != nullptr) {
    const CachedHeads heads{
        .reads = reads,
        .queries = [self = *this, saved](OpContext& c) { return self.query(c, saved); },
        .keys = [self = *this, saved](OpContext& c) { return self.key(c, saved); },
        .values = [self = *this, saved](OpContext& c) { return self.part(c, saved.qkv, 2); }};
    if (inputs.decode) {
      decode_attention(b, inputs, heads, shape().scale, {tokens_, heads_, n_}, saved.out);
      return linear(b, "attention.output", saved.out, tokens_, output_);
    }
    fill_cache(b, inputs, heads);
  }
  saved.lse = b.matrix("attention.lse", tokens_, heads_);
  if (inputs.document_begin.valid()) reads.push_back(inputs.document_begin);
  b.op(OpKind::attention, "attention.core", reads, {saved.out, saved.lse},
       attention_cost(tokens_, sequence_, heads_, n_, n_, causal_, 2),
       [self = *this, inputs, saved](OpContext& c) {
         kernels::attention(c.stream(), self.shape(), self.query(c, saved), self.key(c, saved),
                            self.part(c, saved.qkv, 2), documents(c, inputs, self.tokens_),
                            c.view<Real>(saved.out, {self.tokens_, self.heads_, self.n_}),
                            c.view<Real>(saved.lse, {self.tokens_, self.heads_}));
       });
  return linear(b, "attention.output", saved.out, tokens_, output_);
}

BufferId Attention::backward(Builder& b, const AttentionInputs& inputs, const Saved& saved,
                             BufferId dy) const {
  const BufferId dout = linear_backward(b, "attention.output", saved.out, dy, tokens_, output_);
  const BufferId dqkv = b.matrix("attention.dqkv", tokens_, width());
  std::vector<BufferId> reads = {saved.qkv, saved.out, saved.lse, dout};
  if (norm_) reads.insert(reads.end(), {saved.q, saved.k});
  if (inputs.document_begin.valid()) reads.push_back(inputs.document_begin);
  b.op(OpKind::attention, "attention.core.dx", reads, {dqkv},
       attention_cost(tokens_, sequence_, heads_, n_, n_, causal_, 5),
       [self = *this, inputs, saved, dqkv, dout](OpContext& c) {
         const Shape out = {self.tokens_, self.heads_, self.n_};
         kernels::attention_backward(c.stream(), self.shape(), self.query(c, saved),
                                     self.key(c, saved), self.part(c, saved.qkv, 2),
                                     documents(c, inputs, self.tokens_),
                                     c.view<const Real>(saved.out, out),
                                     c.view<const Real>(saved.lse, {self.tokens_, self.heads_}),
                                     c.view<const Real>(dout, out), self.part(c, dqkv, 0),
                                     self.part(c, dqkv, 1), self.part(c, dqkv, 2));
       });
  if (rotary_) rotate(b, inputs, dqkv, dqkv, true);
  if (norm_) normalize_backward(b, saved, dqkv);
  return linear_backward(b, "attention.qkv", saved.x, dqkv, tokens_, qkv_);
}

}  // namespace hecate::models
