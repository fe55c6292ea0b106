#include "models/config.h"

#include <array>
#include <charconv>
#include <string_view>

#include "models/routing_rule.h"
#include "runtime/base/error.h"

namespace hecate::models {
namespace {

// "all", "none", "every:N" (the last of each N) or "from:N" over zero-based layers.
bool selects(std::string_view rule, int64_t layer, const char* key) {
  if (rule == "all") return true;
  if (rule == "none") return false;
  const size_t colon = rule.find(':');
  const std::string_view word = rule.substr(0, colon);
  int64_t number = -1;
  if (colon != std::string_view::npos) {
    const std::string_view digits = rule.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), number);
    if (error != std::errc{} || end != digits.end()) number = -1;
  }
  if (word == "every" && number >= 1) return (layer + 1) % number == 0;
  if (word == "from" && number >= 0) return layer >= number;
  throw InvalidArgument(concat("model.", key, " is '", rule,
                               "': expected all, none, every:N (N >= 1) or from:N (N >= 0)"));
}

}  // namespace

bool ModelConfig::is_moe(int64_t layer) const {
  return selects(moe_layers, layer, "moe_layers");
}

std::vector<int64_t> ModelConfig::expert_layers() const {
  std::vector<int64_t> found;
  for (int64_t layer = 0; layer < layers; ++layer)
    if (is_moe(layer)) found.push_back(layer);
  return found;
}

bool ModelConfig::recomputes(int64_t layer) const {
  return selects(recompute, layer, "recompute");
}

void RouterConfig::validate() const {
  parse_routing_rule(source);
}

ModelConfig ModelConfig::mup_base() const {
  ModelConfig base = *this;
  base.mup.enabled = false;
  const auto take = [](int64_t& size, int64_t given) {
    if (given > 0) size = given;
  };
  take(base.d_model, mup.base.d_model);
  take(base.heads, mup.base.heads);
  take(base.head_dim, mup.base.head_dim);
  take(base.dense_hidden, mup.base.dense_hidden);
  take(base.expert_hidden, mup.base.expert_hidden);
  take(base.kv_lora_rank, mup.base.kv_lora_rank);
  take(base.v_dim, mup.base.v_dim);
  base.kv_heads = 0;  // no tensor's fan-in depends on it
  return base;
}

void ModelConfig::validate() const {
  is_moe(0);
  recomputes(0);
  HECATE_CHECK(top_k <= experts, "model.top_k = ", top_k, " exceeds model.experts = ", experts);
  HECATE_CHECK(gate != "gshard" || top_k == 2, "model.gate = gshard needs model.top_k = 2, got ",
               top_k);
  HECATE_CHECK(gate != "switch" || top_k == 1, "model.gate = switch needs model.top_k = 1, got ",
               top_k);
  HECATE_CHECK(heads % key_heads() == 0, "model.heads = ", heads,
               " is not a multiple of model.kv_heads = ", key_heads());
  if (attention == "heads") {
    HECATE_CHECK(head_dim > 0 || d_model % heads == 0, "model.d_model = ", d_model,
                 " is not a multiple of model.heads = ", heads, " (or set model.head_dim)");
    HECATE_CHECK(positions != "rope" || head_size() % 2 == 0,
                 "rotary positions need an even head size, got ", head_size());
  } else {
    HECATE_CHECK(kv_heads == 0 || kv_heads == heads,
                 "model.attention = latent has no grouped keys: leave model.kv_heads at 0");
    HECATE_CHECK(rope_dim % 2 == 0, "model.rope_dim = ", rope_dim, " is odd");
    HECATE_CHECK(positions == "rope", "model.attention = latent needs model.positions = rope");
    HECATE_CHECK(qk_norm == "none", "model.attention = latent has no model.qk_norm");
  }
  if (!mup.enabled) return;
  try {
    mup_base().validate();
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(concat("model.mup.base: the base model is impossible: ", error.what()));
  }
}

}  // namespace hecate::models
