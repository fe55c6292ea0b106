#include "scheduler/mup.h"

#include <cmath>

namespace hecate::scheduler {

MupRule mup_rule(const MupConfig& config, MupKind kind, double m, int64_t layers) {
  MupRule rule{.init_std = config.init_std};
  switch (kind) {
    case MupKind::embedding:
      rule.forward = config.embedding_multiplier;
      break;
    case MupKind::hidden:
    case MupKind::branch:
      rule.init_std = config.init_std / std::sqrt(m);
      rule.rate = 1 / m;
      if (!config.couple_decay) rule.decay = m;
      if (kind == MupKind::branch) rule.forward = mup_residual(config, layers);
      break;
    case MupKind::vector:
      break;
    case MupKind::head:
      if (config.zero_head) rule.init_std = 0;
      rule.forward = 1 / m;
      break;
  }
  return rule;
}

double mup_residual(const MupConfig& config, int64_t layers) {
  return config.residual_multiplier / std::sqrt(static_cast<double>(layers));
}

}  // namespace hecate::scheduler
