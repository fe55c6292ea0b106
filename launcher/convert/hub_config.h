#pragma once
#include <string>
#include <string_view>

#include "models/config.h"
#include "models/hub_layout.h"
#include "runtime/tensor/dtype.h"

namespace hecate::launcher {

/// What a config.json of Hugging Face's hub says in this program's words.
struct HubConfig {
  models::HubArchitecture architecture = models::HubArchitecture::mixtral;
  models::ModelConfig model;  ///< sequence is max_position_embeddings
  /// balance_loss is router_aux_loss_coef. transformers takes that loss over all layers together,
  /// with choices that sum to K; here it is per layer, with shares that sum to 1.
  models::RouterConfig router;
  int64_t document_end = -1;  ///< eos_token_id; -1: none, or several
};

/// Reads Mixtral, OLMoE and Qwen3-MoE, as transformers 4 and 5 write them. Every field is either
/// taken, known to change nothing, or an error.
/// @param label names the file in messages.
/// @throws InvalidArgument naming the field: missing, of a wrong type, unknown, or with a value
///   that this program's models do not have; for an unknown architecture with the nearest one.
HubConfig parse_hub_config(std::string_view text, const std::string& label);

/// The config.json of a model that models::hub_architecture() accepts, which both transformers 4
/// and 5 read. @param weights dtype of the tensors.
std::string hub_config_text(const HubConfig& config, DType weights);

}  // namespace hecate::launcher
