#pragma once
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "models/config.h"
#include "models/parameters.h"

/// A model's parameters under the names of Hugging Face's hub, whose tensors are parts of ours: q,
/// k and v are the rows of attention.qkv, an expert's gate and up projection those of its `up`.
namespace hecate::models {

/// Architectures of the hub that a model can be: by model.qk_norm none, full and head. Sources of
/// the names: the published checkpoints of Mixtral-8x7B-v0.1, OLMoE-1B-7B-0924, Qwen3-30B-A3B.
enum class HubArchitecture : uint8_t { mixtral, olmoe, qwen3_moe };
inline constexpr std::array kHubArchitectures = {HubArchitecture::mixtral, HubArchitecture::olmoe,
                                                 HubArchitecture::qwen3_moe};

/// "mixtral", "olmoe", "qwen3_moe": the `model_type` of config.json.
std::string_view name_of(HubArchitecture architecture);

/// A tensor of the hub: the rows [first_row, first_row + shape[0]) of one parameter. Both are
/// row-major, so its bytes are a contiguous part of the parameter's.
struct HubTensor {
  std::string name;
  Shape shape;
  ParameterId parameter = -1;
  int64_t first_row = 0;

  /// Elements of the parameter before it.
  int64_t offset() const { return first_row * shape.size() / shape[0]; }
};

/// The architecture that computes what the configuration describes. What only training uses
/// (losses, jitter, capacity, dropout, recompute, initialisation) does not matter.
/// @throws InvalidArgument naming the key that no architecture has, and what they have.
HubArchitecture hub_architecture(const ModelConfig& model, const RouterConfig& router);

/// Whether the weights of a token's experts are divided by their sum: `norm_topk_prob`.
bool renormalizes(const ModelConfig& model);

/// Every parameter exactly once: the parts of a parameter in the order of their rows, tensors in
/// the order of the layers. @param model one that hub_architecture() accepts.
std::vector<HubTensor> hub_tensors(HubArchitecture architecture, const ModelConfig& model,
                                   const ParameterLayout& layout);

}  // namespace hecate::models
