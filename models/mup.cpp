#include "models/mup.h"

#include <cmath>

#include "runtime/base/error.h"

namespace hecate::models {
namespace {

using scheduler::MupKind;

bool ends_branch(const ParameterSpec& spec) {
  return spec.name.ends_with(".attention.output") || spec.name.ends_with(".down");
}

MupKind mup_kind(const ParameterSpec& spec) {
  switch (spec.kind) {
    case ParameterKind::embedding:
    case ParameterKind::positions:
      return MupKind::embedding;
    case ParameterKind::hidden:
    case ParameterKind::expert:
      return ends_branch(spec) ? MupKind::branch : MupKind::hidden;
    case ParameterKind::router:
      return MupKind::hidden;
    case ParameterKind::norm:
    case ParameterKind::router_bias:
      return MupKind::vector;
    case ParameterKind::head:
      return MupKind::head;
  }
  return MupKind::vector;
}

}  // namespace

void apply_mup(const ModelConfig& config, std::span<const ParameterSpec> base,
               std::span<ParameterSpec> specs) {
  HECATE_CHECK(base.size() == specs.size(), "muP: ", specs.size(), " tensors, the base model has ",
               base.size());
  for (size_t i = 0; i < specs.size(); ++i) {
    ParameterSpec& spec = specs[i];
    const MupKind kind = mup_kind(spec);
    const double m = kind == MupKind::vector ? 1
                                             : static_cast<double>(spec.shape[1]) /
                                                   static_cast<double>(base[i].shape[1]);
    const scheduler::MupRule rule = mup_rule(config.mup, kind, m, config.layers);
    if (kind != MupKind::vector) spec.init_std = rule.init_std;
    spec.rate = rule.rate;
    spec.decay = rule.decay;
    spec.forward = rule.forward;
  }
}

ForwardMultipliers forward_multipliers(const ModelConfig& config) {
  if (!config.mup.enabled) return {};
  const auto base = static_cast<double>(config.mup_base().d_model);
  return {.embedding = static_cast<Real>(config.mup.embedding_multiplier),
          .residual = static_cast<Real>(scheduler::mup_residual(config.mup, config.layers)),
          .logits = static_cast<Real>(base / static_cast<double>(config.d_model))};
}

Real attention_scale(const ModelConfig& config, int64_t head_size) {
  const auto n = static_cast<Real>(head_size);
  return Real{1} / (config.mup.enabled ? n : std::sqrt(n));
}

}  // namespace hecate::models
