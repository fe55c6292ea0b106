#include "models/hub_layout.h"

#include "runtime/base/error.h"

namespace hecate::models {
namespace {

struct ExpertNames {
  const char *block, *gate, *up, *down;
};

ExpertNames expert_names(HubArchitecture architecture) {
  if (architecture == HubArchitecture::mixtral) return {"block_sparse_moe", "w1", "w3", "w2"};
  return {"mlp", "gate_proj", "up_proj", "down_proj"};
}

// The architectures' common ground.
void require(bool supported, const std::string& key, const std::string& value,
             const char* expected) {
  HECATE_CHECK(supported, key, " = ", value,
               ": no architecture of Hugging Face that is known here; Mixtral, OLMoE and Qwen3-MoE "
               "have ",
               expected);
}

class Mapping {
 public:
  Mapping(HubArchitecture architecture, const ModelConfig& model, const ParameterLayout& layout)
      : names_(expert_names(architecture)), model_(&model), layout_(&layout) {}

  std::vector<HubTensor> run() {
    add("model.embed_tokens", "embedding.tokens");
    for (int64_t layer = 0; layer < model_->layers; ++layer) add_layer(layer);
    add("model.norm", "final_norm.weight");
    if (!model_->tied_head) add("lm_head", "head");
    return std::move(tensors_);
  }

 private:
  void add_layer(int64_t layer) {
    const std::string hub = concat("model.layers.", layer, "."), ours = concat("layers.", layer);
    const std::string attention = hub + "self_attn.";
    const int64_t n = model_->head_size(), keys = model_->key_heads() * n;
    const ParameterId qkv = layout_->find(ours + ".attention.qkv");
    int64_t row = part(attention + "q_proj", qkv, 0, model_->heads * n);
    row = part(attention + "k_proj", qkv, row, keys);
    part(attention + "v_proj", qkv, row, keys);
    add(attention + "o_proj", ours + ".attention.output");
    if (model_->qk_norm != "none") {
      add(attention + "q_norm", ours + ".attention.q_norm.weight");
      add(attention + "k_norm", ours + ".attention.k_norm.weight");
    }
    add(hub + names_.block + ".gate", ours + ".ffn.router");
    for (int64_t expert = 0; expert < model_->experts; ++expert)
      add_expert(concat(hub, names_.block, ".experts.", expert, "."),
                 concat(ours, ".ffn.experts.", expert));
    add(hub + "input_layernorm", ours + ".attention.norm.weight");
    add(hub + "post_attention_layernorm", ours + ".ffn.norm.weight");
  }

  void add_expert(const std::string& hub, const std::string& ours) {
    const ParameterId up = layout_->find(ours + ".up");
    const int64_t row = part(hub + names_.gate, up, 0, model_->expert_hidden);
    part(hub + names_.up, up, row, model_->expert_hidden);
    add(hub + names_.down, ours + ".down");
  }

  void add(const std::string& hub, const std::string& ours) {
    const ParameterId id = layout_->find(ours);
    part(hub, id, 0, layout_->spec(id).shape[0]);
  }

  // @return the row after the part.
  int64_t part(const std::string& hub, ParameterId id, int64_t first_row, int64_t rows) {
    const Shape& whole = layout_->spec(id).shape;
    tensors_.push_back({.name = hub + ".weight",
                        .shape = whole.rank() == 1 ? Shape{rows} : Shape{rows, whole[1]},
                        .parameter = id,
                        .first_row = first_row});
    return first_row + rows;
  }

  ExpertNames names_;
  const ModelConfig* model_;
  const ParameterLayout* layout_;
  std::vector<HubTensor> tensors_;
};

}  // namespace

std::string_view name_of(HubArchitecture architecture) {
  switch (architecture) {
    case HubArchitecture::mixtral:
      return "mixtral";
    case HubArchitecture::olmoe:
      return "olmoe";
    case HubArchitecture::qwen3_moe:
      return "qwen3_moe";
  }
  return "";
}

HubArchitecture hub_architecture(const ModelConfig& model, const RouterConfig& router) {
  require(model.objective == "causal", "model.objective", model.objective, "causal");
  require(model.norm == "rms", "model.norm", model.norm, "rms");
  require(model.positions == "rope", "model.positions", model.positions, "rope");
  require(model.attention == "heads", "model.attention", model.attention, "heads");
  require(model.activation == "swiglu", "model.activation", model.activation, "swiglu");
  require(model.gate != "sigmoid_bias", "model.gate", model.gate, "a softmax gate");
  require(model.shared_experts == 0, "model.shared_experts", std::to_string(model.shared_experts),
          "0");
  for (int64_t layer = 0; layer < model.layers; ++layer)
    require(model.is_moe(layer), "model.moe_layers", model.moe_layers, "all");
  require(!model.mup.enabled, "model.mup.enabled", "true", "no such multipliers: false");
  require(router.routed_scale == 1, "router.routed_scale", concat(router.routed_scale), "1");
  require(router.source == "learned", "router.source", router.source, "learned");
  if (model.qk_norm == "head") return HubArchitecture::qwen3_moe;
  if (model.qk_norm == "none") {
    HECATE_CHECK(renormalizes(model), "model.gate = ", model.gate,
                 ": Mixtral (model.qk_norm = none) has softmax_renormalized");
    return HubArchitecture::mixtral;
  }
  HECATE_CHECK(model.head_size() * model.heads == model.d_model,
               "model.head_dim = ", model.head_dim,
               ": OLMoE (model.qk_norm = full) has model.d_model / model.heads = ",
               model.d_model / model.heads);
  return HubArchitecture::olmoe;
}

bool renormalizes(const ModelConfig& model) {
  return model.gate == "softmax_renormalized" || model.gate == "gshard";
}

std::vector<HubTensor> hub_tensors(HubArchitecture architecture, const ModelConfig& model,
                                   const ParameterLayout& layout) {
  return Mapping(architecture, model, layout).run();
}

}  // namespace hecate::models
