#pragma once
#include <span>

#include "models/parameters.h"

/// The maximal update parametrisation (scheduler/mup.h) on a transformer.
namespace hecate::models {

/// Sets what muP says about initial values, rates, decay and forward factors.
/// @param base the specs of config.mup_base(): the same tensors, only of other shapes.
void apply_mup(const ModelConfig& config, std::span<const ParameterSpec> base,
               std::span<ParameterSpec> specs);

/// Factors in the forward pass; all 1 without muP.
struct ForwardMultipliers {
  Real embedding = 1, residual = 1, logits = 1;
};
ForwardMultipliers forward_multipliers(const ModelConfig& config);

/// On q k^T: 1 / sqrt(head_size), with muP 1 / head_size.
Real attention_scale(const ModelConfig& config, int64_t head_size);

}  // namespace hecate::models
