#include "models/parameters.h"

#include <array>
#include <cmath>

#include "models/mup.h"
#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"
#include "runtime/base/rng.h"

namespace hecate::models {
namespace {

constexpr int64_t kAlignElements = 16;

int64_t aligned(int64_t elements) {
  return (elements + kAlignElements - 1) / kAlignElements * kAlignElements;
}

std::string layer_prefix(int32_t layer) {
  return "layers." + std::to_string(layer) + ".";
}

double branch_std(const ModelConfig& config) {
  return config.scaled_residual_init
             ? config.init_std / std::sqrt(2.0 * static_cast<double>(config.layers))
             : config.init_std;
}

ParameterSpec matrix(std::string name, int64_t out, int64_t in, ParameterKind kind, int32_t layer,
                     double std) {
  return {.name = std::move(name),
          .shape = {out, in},
          .kind = kind,
          .layer = layer,
          .expert = -1,
          .init_std = std,
          .init_value = 0,
          .rate = 1,
          .decay = 1,
          .forward = 1};
}

ParameterSpec vector(std::string name, int64_t size, ParameterKind kind, int32_t layer,
                     double value) {
  return {.name = std::move(name),
          .shape = {size},
          .kind = kind,
          .layer = layer,
          .expert = -1,
          .init_std = 0,
          .init_value = value,
          .rate = 1,
          .decay = 1,
          .forward = 1};
}

}  // namespace

std::string_view name_of(ParameterKind kind) {
  constexpr std::array<std::string_view, 8> kNames = {
      "embedding", "positions", "hidden", "expert", "router", "norm", "head", "router_bias"};
  return kNames[static_cast<size_t>(kind)];
}

void ParameterLayout::add(ParameterSpec spec) {
  offsets_.push_back(elements_);
  elements_ += aligned(spec.size());
  specs_.push_back(std::move(spec));
}

void ParameterLayout::add_norm(const ModelConfig& config, const std::string& prefix, int64_t size,
                               int32_t layer) {
  add(vector(prefix + ".weight", size, ParameterKind::norm, layer, 1));
  if (config.norm == "layer") add(vector(prefix + ".bias", size, ParameterKind::norm, layer, 0));
}

namespace {

std::vector<ParameterSpec> attention_specs(const ModelConfig& c, int32_t layer) {
  const std::string prefix = layer_prefix(layer) + "attention.";
  const auto hidden = [&](const char* name, int64_t out, int64_t in, double std) {
    return matrix(prefix + name, out, in, ParameterKind::hidden, layer, std);
  };
  const auto norm = [&](const char* name, int64_t size) {
    return vector(prefix + name, size, ParameterKind::norm, layer, 1);
  };
  std::vector<ParameterSpec> specs;
  if (c.attention == "latent") {
    specs.push_back(hidden("q", c.heads * (c.nope_dim + c.rope_dim), c.d_model, c.init_std));
    specs.push_back(hidden("kv_down", c.kv_lora_rank + c.rope_dim, c.d_model, c.init_std));
    specs.push_back(norm("kv_norm.weight", c.kv_lora_rank));
    specs.push_back(hidden("kv_up", c.heads * (c.nope_dim + c.v_dim), c.kv_lora_rank, c.init_std));
    specs.push_back(hidden("output", c.d_model, c.heads * c.v_dim, branch_std(c)));
    return specs;
  }
  const int64_t n = c.head_size();
  specs.push_back(hidden("qkv", (c.heads + 2 * c.key_heads()) * n, c.d_model, c.init_std));
  if (c.qk_norm != "none") {
    specs.push_back(norm("q_norm.weight", c.qk_norm == "head" ? n : c.heads * n));
    specs.push_back(norm("k_norm.weight", c.qk_norm == "head" ? n : c.key_heads() * n));
  }
  specs.push_back(hidden("output", c.d_model, c.heads * n, branch_std(c)));
  return specs;
}

}  // namespace

void ParameterLayout::add_layer(const ModelConfig& config, int32_t layer) {
  const std::string prefix = layer_prefix(layer);
  const int64_t d = config.d_model;
  const int64_t fan = config.gated() ? 2 : 1;
  add_norm(config, prefix + "attention.norm", d, layer);
  for (ParameterSpec& spec : attention_specs(config, layer)) add(std::move(spec));
  add_norm(config, prefix + "ffn.norm", d, layer);
  const auto feed_forward = [&](const std::string& name, int64_t width) {
    add(matrix(prefix + name + ".up", fan * width, d, ParameterKind::hidden, layer,
               config.init_std));
    add(matrix(prefix + name + ".down", d, width, ParameterKind::hidden, layer,
               branch_std(config)));
  };
  if (!config.is_moe(layer)) {
    feed_forward("ffn", config.dense_width());
    return;
  }
  add(matrix(prefix + "ffn.router", config.experts, d, ParameterKind::router, layer,
             config.init_std));
  if (config.gate == "sigmoid_bias")
    add(vector(prefix + "ffn.router_bias", config.experts, ParameterKind::router_bias, layer, 0));
  if (config.shared_experts > 0)
    feed_forward("ffn.shared", config.shared_experts * config.expert_hidden);
}

void ParameterLayout::add_experts(const ModelConfig& config, int32_t layer) {
  const int64_t up_rows = (config.gated() ? 2 : 1) * config.expert_hidden;
  for (int32_t expert = 0; expert < config.experts; ++expert) {
    const std::string prefix = layer_prefix(layer) + "ffn.experts." + std::to_string(expert);
    ParameterSpec up = matrix(prefix + ".up", up_rows, config.d_model, ParameterKind::expert, layer,
                              config.init_std);
    ParameterSpec down = matrix(prefix + ".down", config.d_model, config.expert_hidden,
                                ParameterKind::expert, layer, branch_std(config));
    up.expert = down.expert = expert;
    add(std::move(up));
    add(std::move(down));
  }
}

ParameterLayout::ParameterLayout(const ModelConfig& config) {
  config.validate();
  HECATE_CHECK(config.vocabulary > 0, "model.vocabulary is 0 and no data gives it");
  add(matrix("embedding.tokens", config.vocabulary, config.d_model, ParameterKind::embedding, -1,
             config.init_std));
  if (config.positions == "learned")
    add(matrix("embedding.positions", config.sequence, config.d_model, ParameterKind::positions, -1,
               config.init_std));
  for (int32_t layer = 0; layer < config.layers; ++layer) add_layer(config, layer);
  add_norm(config, "final_norm", config.d_model, -1);
  if (!config.tied_head)
    add(matrix("head", config.vocabulary, config.d_model, ParameterKind::head, -1,
               config.init_std));
  dense_elements_ = elements_;
  for (int32_t layer = 0; layer < config.layers; ++layer)
    if (config.is_moe(layer)) add_experts(config, layer);
  if (config.mup.enabled) apply_mup(config, ParameterLayout(config.mup_base()).specs(), specs_);
}

int64_t ParameterLayout::parameters() const {
  int64_t count = 0;
  for (const ParameterSpec& spec : specs_) count += spec.size();
  return count;
}

int64_t ParameterLayout::active_parameters(const ModelConfig& config) const {
  int64_t count = 0;
  for (const ParameterSpec& spec : specs_) {
    if (spec.kind == ParameterKind::expert && spec.expert >= config.top_k) continue;
    if (spec.kind == ParameterKind::embedding && !config.tied_head) continue;
    count += spec.size();
  }
  return count;
}

ParameterId ParameterLayout::find_or_none(std::string_view name) const {
  for (size_t i = 0; i < specs_.size(); ++i)
    if (specs_[i].name == name) return static_cast<ParameterId>(i);
  return -1;
}

ParameterId ParameterLayout::find(std::string_view name) const {
  const ParameterId id = find_or_none(name);
  if (id >= 0) return id;
  std::vector<std::string> names;
  for (const ParameterSpec& spec : specs_) names.push_back(spec.name);
  throw InvalidArgument(
      concat("no parameter is named '", name, "'; nearest: '", nearest_name(name, names), "'"));
}

void initialize_piece(const ParameterSpec& spec, uint64_t seed, int64_t begin,
                      std::span<Real> out) {
  const CounterRng rng(seed, stream_of(spec.name.c_str()));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<Real>(
        spec.init_value +
        (spec.init_std > 0 ? spec.init_std * rng.normal(static_cast<uint64_t>(begin) + i) : 0.0));
}

}  // namespace hecate::models
