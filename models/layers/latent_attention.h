#pragma once
#include "models/builder.h"
#include "models/layers/attention.h"
#include "models/layers/norm.h"

namespace hecate::models {

/// Multi-head latent attention: keys and values are expanded from one compressed row per token.
/// Source: DeepSeek-V2, arXiv:2405.04434, section 2.1; sizes of PLM, arXiv:2503.12167.
class LatentAttention {
 public:
  struct Saved {
    BufferId x, q, down, latent, rstd, up, keys, values, out, lse;
  };
  explicit LatentAttention(const Builder& b);

  BufferId forward(Builder& b, const AttentionInputs& inputs, BufferId x, Saved& saved) const;
  BufferId backward(Builder& b, const AttentionInputs& inputs, const Saved& saved,
                    BufferId dy) const;

 private:
  void compress(Builder& b, Saved& saved) const;
  void rotate(Builder& b, const AttentionInputs& inputs, BufferId q, BufferId down,
              bool inverse) const;
  kernels::AttentionShape shape() const;
  int64_t down_width() const { return rank_ + rope_; }
  int64_t up_width() const { return heads_ * (nope_ + value_); }

  int64_t tokens_, sequence_, heads_, rank_, nope_, rope_, value_;
  bool causal_;
  Real scale_, eps_;
  Weight q_, kv_down_, kv_norm_, kv_up_, output_;
};

}  // namespace hecate::models
