#include "launcher/convert/hub_config.h"

#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"

namespace hecate::launcher {
namespace {

using models::HubArchitecture;
using nlohmann::json;

// Fields that change nothing here: how transformers runs, trains or stores a model.
constexpr std::array kIgnored = {"architectures",        "_name_or_path",       "auto_map",
                                 "bos_token_id",         "pad_token_id",        "dtype",
                                 "torch_dtype",          "max_window_layers",   "model_type",
                                 "output_router_logits", "pretraining_tp",      "use_cache",
                                 "transformers_version", "_attn_implementation"};

struct Names {
  const char *architecture, *experts, *expert_hidden;
  double rope_theta;  // where the file is silent
};

Names names_of(HubArchitecture architecture) {
  switch (architecture) {
    case HubArchitecture::mixtral:
      return {"MixtralForCausalLM", "num_local_experts", "intermediate_size", 1e6};
    case HubArchitecture::olmoe:
      return {"OlmoeForCausalLM", "num_experts", "intermediate_size", 1e4};
    case HubArchitecture::qwen3_moe:
      return {"Qwen3MoeForCausalLM", "num_experts", "moe_intermediate_size", 1e4};
  }
  return {};
}

// The fields of a JSON object; remembers which were asked for.
class Fields {
 public:
  Fields(const json& object, std::string label) : object_(&object), label_(std::move(label)) {}

  const json* find(const std::string& name) {
    asked_.insert(name);
    const auto found = object_->find(name);
    return found == object_->end() || found->is_null() ? nullptr : &*found;
  }
  const json& at(const std::string& name) {
    const json* value = find(name);
    HECATE_CHECK(value != nullptr, label_, ": no field ", name);
    return *value;
  }

  int64_t integer(const std::string& name) {
    const json& value = at(name);
    if (!value.is_number_integer() || value.get<int64_t>() < 1)
      refuse(name, "an integer of at least 1");
    return value.get<int64_t>();
  }
  int64_t integer(const std::string& name, int64_t missing) {
    return find(name) == nullptr ? missing : integer(name);
  }
  double number(const std::string& name, double missing) {
    const json* value = find(name);
    if (value == nullptr) return missing;
    if (!value->is_number()) refuse(name, "a number");
    return value->get<double>();
  }
  bool flag(const std::string& name, bool missing) {
    const json* value = find(name);
    if (value == nullptr) return missing;
    if (!value->is_boolean()) refuse(name, "true or false");
    return value->get<bool>();
  }

  /// Absent, null or one of the values; anything else is not supported.
  void only(const std::string& name, const std::vector<json>& values) {
    const json* value = find(name);
    if (value == nullptr) return;
    for (const json& each : values)
      if (*value == each) return;
    refuse(name, values.empty() ? "null" : values.front().dump());
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& expected) const {
    throw InvalidArgument(concat(label_, ": ", name, " is ", object_->at(name).dump(),
                                 ": not supported, expected ", expected));
  }

  void check_all_asked() const {
    const std::vector<std::string> known(asked_.begin(), asked_.end());
    for (const auto& [name, value] : object_->items()) {
      if (asked_.contains(name) || value.is_null()) continue;
      const std::string nearest = nearest_name(name, known);
      throw InvalidArgument(concat(
          label_, ": unknown field ", name, nearest.empty() ? "" : concat("; nearest: ", nearest),
          " (if it does not change what the model computes, remove it from the file)"));
    }
  }

 private:
  const json* object_;
  std::string label_;
  std::set<std::string> asked_;
};

HubArchitecture architecture_of(Fields& fields, const std::string& label) {
  const json& value = fields.at("model_type");
  if (!value.is_string()) fields.refuse("model_type", "a string");
  const std::string type = value.get<std::string>();
  std::vector<std::string> known;
  for (const HubArchitecture each : models::kHubArchitectures) {
    known.emplace_back(models::name_of(each));
    if (known.back() == type) return each;
  }
  std::string list;
  for (const std::string& each : known) list += (list.empty() ? "" : ", ") + each;
  const std::string nearest = nearest_name(type, known);
  throw InvalidArgument(concat(label, ": model_type '", type, "' is an unknown architecture",
                               nearest.empty() ? "" : concat("; nearest: ", nearest),
                               " (known: ", list, ")"));
}

// transformers 4 has rope_theta and rope_scaling, transformers 5 rope_parameters with both.
double rope_theta(Fields& fields, const std::string& label, double missing) {
  const auto plain = [](Fields& part) {
    part.only("rope_type", {"default"});
    part.only("type", {"default"});
  };
  double theta = fields.number("rope_theta", missing);
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    const json* table = fields.find(name);
    if (table == nullptr) continue;
    if (!table->is_object()) fields.refuse(name, "null or a table");
    Fields part(*table, concat(label, ": ", name));
    plain(part);
    theta = part.number("rope_theta", theta);
    part.check_all_asked();
  }
  return theta;
}

// A window at least as long as the longest sequence hides nothing.
void check_window(Fields& fields, int64_t longest) {
  const bool used = fields.flag("use_sliding_window", true);
  const json* window = fields.find("sliding_window");
  if (window == nullptr || !used) return;
  if (!window->is_number_integer() || window->get<int64_t>() < longest)
    fields.refuse("sliding_window", "null or at least max_position_embeddings");
}

// What the blocks of all three architectures leave open; only its usual value exists here.
void check_usual(Fields& fields) {
  fields.only("hidden_act", {"silu"});
  fields.only("attention_bias", {false});
  fields.only("attention_dropout", {0.0, 0});
  fields.only("clip_qkv", {});
  fields.only("router_jitter_noise", {0.0, 0});
  fields.only("decoder_sparse_step", {1});
  fields.only("mlp_only_layers", {json::array()});
  fields.only("quantization_config", {});
}

std::string gate_of(Fields& fields, HubArchitecture architecture) {
  if (architecture == HubArchitecture::mixtral) return "softmax_renormalized";
  return fields.flag("norm_topk_prob", false) ? "softmax_renormalized" : "softmax";
}

std::string qk_norm_of(HubArchitecture architecture) {
  switch (architecture) {
    case HubArchitecture::mixtral:
      return "none";
    case HubArchitecture::olmoe:
      return "full";
    case HubArchitecture::qwen3_moe:
      return "head";
  }
  return "";
}

HubConfig read(Fields& fields, const std::string& label) {
  HubConfig config;
  config.architecture = architecture_of(fields, label);
  const Names names = names_of(config.architecture);
  models::ModelConfig& model = config.model;
  model.vocabulary = fields.integer("vocab_size");
  model.sequence = fields.integer("max_position_embeddings");
  model.layers = fields.integer("num_hidden_layers");
  model.d_model = fields.integer("hidden_size");
  model.heads = fields.integer("num_attention_heads");
  model.kv_heads = fields.integer("num_key_value_heads", 0);
  model.head_dim = fields.integer("head_dim", 0);
  model.norm_eps = fields.number("rms_norm_eps", model.norm_eps);
  model.rope_theta = rope_theta(fields, label, names.rope_theta);
  model.qk_norm = qk_norm_of(config.architecture);
  // transformers 5 writes either name.
  const bool local = fields.find("num_local_experts") != nullptr;
  fields.find("num_experts");
  model.experts = fields.integer(local ? "num_local_experts" : "num_experts");
  model.top_k = fields.integer("num_experts_per_tok");
  model.expert_hidden = fields.integer(names.expert_hidden);
  fields.find("intermediate_size");  // of Qwen3's dense layers, which there are none of
  model.gate = gate_of(fields, config.architecture);
  model.tied_head = fields.flag("tie_word_embeddings", false);
  model.init_std = fields.number("initializer_range", model.init_std);
  config.router.balance_loss = fields.number("router_aux_loss_coef", config.router.balance_loss);
  check_window(fields, model.sequence);
  check_usual(fields);
  const json* end = fields.find("eos_token_id");
  if (end != nullptr && end->is_number_integer()) config.document_end = end->get<int64_t>();
  return config;
}

}  // namespace

HubConfig parse_hub_config(std::string_view text, const std::string& label) {
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  HECATE_CHECK(root.is_object(), label, ": not a JSON object");
  Fields fields(root, label);
  HubConfig config = read(fields, label);
  for (const char* name : kIgnored) fields.find(name);
  fields.check_all_asked();
  try {
    config.model.validate();
    HECATE_CHECK(models::hub_architecture(config.model, config.router) == config.architecture,
                 "not a model of its architecture");
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(concat(label, ": ", error.what()));
  }
  return config;
}

std::string hub_config_text(const HubConfig& config, DType weights) {
  const Names names = names_of(config.architecture);
  const models::ModelConfig& model = config.model;
  const json end = config.document_end >= 0 ? json(config.document_end) : json();
  json root = {{"architectures", {names.architecture}},
               {"attention_dropout", 0.0},
               {"bos_token_id", end},  // a text begins behind the end of another
               {"eos_token_id", end},
               {"hidden_act", "silu"},
               {"hidden_size", model.d_model},
               {"initializer_range", model.init_std},
               {"max_position_embeddings", model.sequence},
               {"model_type", models::name_of(config.architecture)},
               {"num_attention_heads", model.heads},
               {"num_experts_per_tok", model.top_k},
               {"num_hidden_layers", model.layers},
               {"num_key_value_heads", model.key_heads()},
               {"pad_token_id", json()},
               {"rms_norm_eps", model.norm_eps},
               {"rope_theta", model.rope_theta},
               {"router_aux_loss_coef", config.router.balance_loss},
               {"tie_word_embeddings", model.tied_head},
               {"torch_dtype", weights == DType::bf16 ? "bfloat16" : "float32"},
               {"vocab_size", model.vocabulary},
               {names.experts, model.experts},
               {names.expert_hidden, model.expert_hidden}};
  if (config.architecture == HubArchitecture::olmoe) {
    root["clip_qkv"] = json();
  } else {
    root["head_dim"] = model.head_size();
    root["sliding_window"] = json();
  }
  if (config.architecture != HubArchitecture::mixtral) {
    root["norm_topk_prob"] = models::renormalizes(model);
    root["attention_bias"] = false;
  }
  if (config.architecture == HubArchitecture::qwen3_moe) {
    root["decoder_sparse_step"] = 1;
    root["mlp_only_layers"] = json::array();
    root["intermediate_size"] = model.dense_width();
  }
  return root.dump(2) + "\n";
}

}  // namespace hecate::launcher
