#include <algorithm>
#include <map>

#include "models/config.h"
#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"

namespace hecate::models {
namespace {

// Hecate paper, arXiv:2502.02581, table 2: top-2 GShard gate, F = 2 D, a MoE in every layer.
ModelConfig paper_model(int64_t d_model, int64_t sequence, int64_t layers, bool masked) {
  ModelConfig c;
  c.objective = masked ? "masked" : "causal";
  c.vocabulary = masked ? 30522 : 50257;
  c.sequence = sequence;
  c.layers = layers;
  c.d_model = d_model;
  c.heads = d_model / 64;
  c.norm = "layer";
  c.positions = "learned";
  c.activation = "gelu_tanh";
  c.experts = 64;
  c.top_k = 2;
  c.expert_hidden = 2 * d_model;
  c.gate = "gshard";
  return c;
}

// arXiv:2401.04088 and the published config.json of Mixtral-8x7B-v0.1.
ModelConfig mixtral_8x7b() {
  ModelConfig c;
  c.vocabulary = 32000;
  c.sequence = 4096;
  c.layers = 32;
  c.d_model = 4096;
  c.heads = 32;
  c.kv_heads = 8;
  c.rope_theta = 1e6;
  c.experts = 8;
  c.top_k = 2;
  c.expert_hidden = 14336;
  c.tied_head = false;
  return c;
}

// arXiv:2409.02060 and the published config.json of OLMoE-1B-7B-0924.
ModelConfig olmoe_1b_7b() {
  ModelConfig c;
  c.vocabulary = 50304;
  c.sequence = 4096;
  c.layers = 16;
  c.d_model = 2048;
  c.heads = 16;
  c.qk_norm = "full";
  c.experts = 64;
  c.top_k = 8;
  c.expert_hidden = 1024;
  c.gate = "softmax";
  c.tied_head = false;
  return c;
}

// arXiv:2505.09388 and the published config.json of Qwen3-30B-A3B.
ModelConfig qwen3_30b_a3b() {
  ModelConfig c;
  c.vocabulary = 151936;
  c.sequence = 4096;
  c.layers = 48;
  c.d_model = 2048;
  c.heads = 32;
  c.kv_heads = 4;
  c.head_dim = 128;
  c.norm_eps = 1e-6;
  c.rope_theta = 1e6;
  c.qk_norm = "head";
  c.experts = 128;
  c.top_k = 8;
  c.expert_hidden = 768;
  c.tied_head = false;
  return c;
}

// PLM, arXiv:2503.12167: dense, multi-head latent attention, squared ReLU.
ModelConfig plm_1_8b() {
  ModelConfig c;
  c.vocabulary = 151936;
  c.sequence = 4096;
  c.layers = 32;
  c.d_model = 2048;
  c.heads = 16;
  c.norm_eps = 1e-6;
  c.rope_theta = 100000;
  c.attention = "latent";
  c.activation = "squared_relu";
  c.dense_hidden = 8192;
  c.moe_layers = "none";
  return c;
}

ModelConfig tiny() {
  ModelConfig c;
  c.vocabulary = 257;
  c.sequence = 32;
  c.layers = 2;
  c.d_model = 32;
  c.heads = 4;
  c.experts = 4;
  c.expert_hidden = 64;
  return c;
}

ModelConfig tiny_latent() {
  ModelConfig c = tiny();
  c.attention = "latent";
  c.kv_lora_rank = 16;
  c.nope_dim = 8;
  c.rope_dim = 4;
  c.v_dim = 8;
  c.activation = "squared_relu";
  return c;
}

ModelConfig tiny_bert() {
  ModelConfig c = tiny();
  c.objective = "masked";
  c.vocabulary = 258;
  c.norm = "layer";
  c.positions = "learned";
  c.activation = "gelu_tanh";
  c.gate = "gshard";
  return c;
}

// The shape of `hecate bench step`.
ModelConfig bench_step() {
  ModelConfig c;
  c.vocabulary = 8192;
  c.sequence = 512;
  c.layers = 6;
  c.d_model = 512;
  c.heads = 8;
  c.norm = "layer";
  c.positions = "learned";
  c.activation = "gelu_tanh";
  c.experts = 8;
  c.expert_hidden = 1024;
  c.gate = "gshard";
  return c;
}

const std::map<std::string, ModelConfig>& presets() {
  static const std::map<std::string, ModelConfig> all = {
      {"gpt-moe-s", paper_model(768, 2048, 12, false)},
      {"gpt-moe-l", paper_model(1536, 2048, 12, false)},
      {"bert-moe", paper_model(1024, 512, 12, true)},
      {"bert-moe-deep", paper_model(1024, 512, 24, true)},
      {"mixtral-8x7b", mixtral_8x7b()},
      {"olmoe-1b-7b", olmoe_1b_7b()},
      {"qwen3-30b-a3b", qwen3_30b_a3b()},
      {"plm-1.8b", plm_1_8b()},
      {"tiny", tiny()},
      {"tiny-latent", tiny_latent()},
      {"tiny-bert", tiny_bert()},
      {"bench-step", bench_step()},
  };
  return all;
}

}  // namespace

ModelConfig preset(const std::string& name) {
  const auto found = presets().find(name);
  if (found == presets().end()) {
    const std::vector<std::string> names = preset_names();
    std::string known;
    for (const std::string& each : names) known += (known.empty() ? "" : ", ") + each;
    const std::string nearest = nearest_name(name, names);
    throw InvalidArgument(concat("model.preset = '", name, "' is unknown",
                                 nearest.empty() ? "" : "; nearest: " + nearest, " (known: ", known,
                                 ")"));
  }
  ModelConfig config = found->second;
  config.preset = name;
  return config;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const auto& [name, config] : presets()) names.push_back(name);
  return names;
}

}  // namespace hecate::models
