#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/config_fields.h"
#include "scheduler/mup.h"

/// What a transformer looks like. Letters: T tokens, D model, H query heads, G key heads, N head
/// size, F hidden, E experts, K top-k, L layers, V vocabulary.
///
/// Parameters and their shapes ([out, in]; `i` layer, `e` expert; no linear biases):
///   embedding.tokens [V,D]            embedding.positions [sequence,D]  (positions = learned)
///   layers.i.attention.norm.weight [D] (.bias [D] for layer norm)
///   layers.i.attention.qkv [(H+2G)N, D]: rows of q, then k, then v    (attention = heads)
///   layers.i.attention.q_norm.weight, .k_norm.weight: [N] (qk_norm = head), [HN] and [GN] (full)
///   layers.i.attention.q [H(nope+rope), D], .kv_down [kv_lora_rank+rope, D],
///     .kv_norm.weight [kv_lora_rank], .kv_up [H(nope+v), kv_lora_rank]  (attention = latent)
///   layers.i.attention.output [D, HN] ([D, H v] for latent)
///   layers.i.ffn.norm.weight [D] (.bias)
///   layers.i.ffn.up [F,D] ([2F,D], gate rows first, for swiglu), layers.i.ffn.down [D,F]  (dense)
///   layers.i.ffn.router [E,D], layers.i.ffn.router_bias [E] (gate = sigmoid_bias; not trained by
///     gradient), layers.i.ffn.experts.e.up, .down as dense; layers.i.ffn.shared.up, .down with
///     F = shared_experts * expert_hidden
///   final_norm.weight [D] (.bias)     head [V,D] (untied)
namespace hecate::models {

struct RouterConfig {
  std::string source = "learned";
  double balance_loss = 0.01;
  std::string balance_scope = "sequence";
  double z_loss = 0;
  double jitter = 0;
  double capacity_factor = 0;
  double bias_rate = 0.001;
  double routed_scale = 1;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("source", self.source,
          "who chooses experts: learned | even | zipf:S | replay:FILE (recorded counts)", any());
    visit("balance_loss", self.balance_loss,
          "coefficient of E * sum_e f_e P_e per MoE layer (f: share of assignments, P: mean "
          "probability); unused by sigmoid_bias",
          at_least(0));
    visit("balance_scope", self.balance_scope,
          "tokens that f and P run over; batch needs one micro-batch a step",
          one_of({"sequence", "batch"}));
    visit("z_loss", self.z_loss, "coefficient of mean_t logsumexp(router logits)^2 per layer",
          at_least(0));
    visit("jitter", self.jitter, "router logits are multiplied by 1 +- this while training",
          between(0, 0.5));
    visit("capacity_factor", self.capacity_factor,
          "0: dropless; else an expert takes at most ceil(factor * tokens * K / E) of the global "
          "batch, in token order",
          at_least(0));
    visit("bias_rate", self.bias_rate, "sigmoid_bias: step of the load-driven bias per update",
          at_least(0));
    visit("routed_scale", self.routed_scale, "factor on the sum of the routed experts' outputs",
          at_least(0));
  }

  /// @throws InvalidArgument if `source` is none.
  void validate() const;
};

struct ModelConfig {
  std::string preset;
  std::string objective = "causal";
  int64_t vocabulary = 0;
  int64_t sequence = 256;
  int64_t layers = 4;
  int64_t d_model = 256;
  int64_t heads = 4;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  std::string norm = "rms";
  double norm_eps = 1e-5;
  std::string positions = "rope";
  double rope_theta = 10000;
  std::string attention = "heads";
  std::string qk_norm = "none";
  int64_t kv_lora_rank = 512;
  int64_t nope_dim = 128;
  int64_t rope_dim = 64;
  int64_t v_dim = 128;
  std::string activation = "swiglu";
  int64_t dense_hidden = 0;
  std::string moe_layers = "all";
  int64_t experts = 8;
  int64_t top_k = 2;
  int64_t expert_hidden = 512;
  int64_t shared_experts = 0;
  std::string gate = "softmax_renormalized";
  bool tied_head = true;
  double init_std = 0.02;
  bool scaled_residual_init = true;
  double dropout = 0;
  std::string recompute = "none";
  scheduler::MupConfig mup;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("preset", self.preset, "named shape whose values are the defaults of this table", any());
    visit("objective", self.objective, "next token (causal) or masked tokens, as BERT (masked)",
          one_of({"causal", "masked"}));
    visit("vocabulary", self.vocabulary, "0: that of the data", at_least(0));
    visit("sequence", self.sequence, "tokens per sequence", at_least(1));
    visit("layers", self.layers, "transformer layers", at_least(1));
    visit("d_model", self.d_model, "width of the residual stream", at_least(1));
    visit("heads", self.heads, "query heads", at_least(1));
    visit("kv_heads", self.kv_heads, "key heads (grouped-query attention); 0: as heads",
          at_least(0));
    visit("head_dim", self.head_dim, "size of a head; 0: d_model / heads", at_least(0));
    visit("norm", self.norm, "RMS norm or layer norm", one_of({"rms", "layer"}));
    visit("norm_eps", self.norm_eps, "added to the variance", at_least(0));
    visit("positions", self.positions, "rotary, learned or no positions",
          one_of({"rope", "learned", "none"}));
    visit("rope_theta", self.rope_theta, "base of the rotary frequencies", at_least(1));
    visit("attention", self.attention, "heads (with kv_heads), or latent (MLA)",
          one_of({"heads", "latent"}));
    visit("qk_norm", self.qk_norm, "RMS norm on q and k: per head, over all heads, or none",
          one_of({"none", "head", "full"}));
    visit("kv_lora_rank", self.kv_lora_rank, "latent: width of the compressed keys and values",
          at_least(1));
    visit("nope_dim", self.nope_dim, "latent: head size without positions", at_least(1));
    visit("rope_dim", self.rope_dim, "latent: head size with rotary positions, even", at_least(2));
    visit("v_dim", self.v_dim, "latent: head size of the values", at_least(1));
    visit("activation", self.activation, "of dense layers and experts",
          one_of({"swiglu", "gelu", "gelu_tanh", "squared_relu"}));
    visit("dense_hidden", self.dense_hidden, "F of dense layers; 0: top_k * expert_hidden",
          at_least(0));
    visit("moe_layers", self.moe_layers,
          "layers with experts: all | none | every:N (the last of each N) | from:N", any());
    visit("experts", self.experts, "experts of a MoE layer", at_least(1));
    visit("top_k", self.top_k, "experts per token", at_least(1));
    visit("expert_hidden", self.expert_hidden, "F of an expert", at_least(1));
    visit("shared_experts", self.shared_experts, "experts that every token visits", at_least(0));
    visit("gate", self.gate, "how router logits become choices and weights",
          one_of({"softmax", "softmax_renormalized", "gshard", "switch", "sigmoid_bias"}));
    visit("tied_head", self.tied_head, "output head shares the token embedding", any());
    visit("init_std", self.init_std, "standard deviation of initial matrices", at_least(0));
    visit("scaled_residual_init", self.scaled_residual_init,
          "attention output and down projections start smaller by 1/sqrt(2 layers)", any());
    visit("dropout", self.dropout, "on the embedding and each residual branch while training",
          between(0, 0.9));
    visit("recompute", self.recompute,
          "layers whose activations are computed again in backward: none | all | every:N", any());
    visit("mup", self.mup, "rates and initial values that carry over to wider models");
  }

  /// @throws InvalidArgument naming the keys of an impossible combination.
  void validate() const;

  int64_t key_heads() const { return kv_heads > 0 ? kv_heads : heads; }
  int64_t head_size() const { return head_dim > 0 ? head_dim : d_model / heads; }
  bool gated() const { return activation == "swiglu"; }
  int64_t dense_width() const { return dense_hidden > 0 ? dense_hidden : top_k * expert_hidden; }
  /// Whether layer `layer` has experts.
  bool is_moe(int64_t layer) const;
  /// The layers that have experts, in order.
  std::vector<int64_t> expert_layers() const;
  bool recomputes(int64_t layer) const;
  /// The base model of `mup`: this one with the sizes that mup.base gives, without muP.
  ModelConfig mup_base() const;
};

/// Shapes of published and tiny models by name.
/// @throws InvalidArgument for an unknown name, with the nearest and all known ones.
ModelConfig preset(const std::string& name);
std::vector<std::string> preset_names();

}  // namespace hecate::models
