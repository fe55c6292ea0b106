#pragma once
#include "models/builder.h"
#include "runtime/kernels/attention.h"

namespace hecate::models {

class KvCache;

/// Inputs that all attention layers of a graph share.
struct AttentionInputs {
  BufferId positions;       ///< [T] i32, position in the sequence
  BufferId head_positions;  ///< [T*H] i32, each repeated H times (latent attention only)
  BufferId document_begin;  ///< [T] i32, or invalid when documents are not masked
  BufferId rope_table;  ///< [rope_rows, rotary size], external; invalid without rotary positions
  int64_t rope_rows = 0;
  KvCache* cache = nullptr;  ///< filled with the run's keys and values; null: none
  bool decode = false;       ///< one token per sequence, which attends to what is cached
  BufferId lengths;          ///< [T] i32, position + 1; only to decode
};

/// Multi-head and grouped-query self-attention with an optional RMS norm on queries and keys.
/// Parameters: attention.qkv, .q_norm.weight, .k_norm.weight, .output (models/config.h).
class Attention {
 public:
  struct Saved {
    BufferId x, qkv, q, k, q_rstd, k_rstd, out, lse;
  };
  explicit Attention(const Builder& b);

  /// The layer's branch [T,D] from the normed input x [T,D].
  BufferId forward(Builder& b, const AttentionInputs& inputs, BufferId x, Saved& saved) const;
  /// dx [T,D] from the gradient dy of the branch.
  BufferId backward(Builder& b, const AttentionInputs& inputs, const Saved& saved,
                    BufferId dy) const;

 private:
  void normalize(Builder& b, Saved& saved) const;
  void normalize_backward(Builder& b, const Saved& saved, BufferId dqkv) const;
  void rotate(Builder& b, const AttentionInputs& inputs, BufferId q, BufferId k,
              bool inverse) const;
  View<Real> part(OpContext& c, BufferId buffer, int which) const;
  View<const Real> query(OpContext& c, const Saved& saved) const;
  View<const Real> key(OpContext& c, const Saved& saved) const;
  kernels::AttentionShape shape() const;
  int64_t width() const { return (heads_ + 2 * groups_) * n_; }

  int64_t tokens_, sequence_, heads_, groups_, n_;
  bool causal_, norm_, norm_full_, rotary_;
  Real scale_, eps_;
  Weight qkv_, output_, q_norm_, k_norm_;
};

}  // namespace hecate::models
