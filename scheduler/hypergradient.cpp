#include "scheduler/hypergradient.h"

#include <algorithm>
#include <cmath>

namespace hecate::scheduler {

double cosine(const UpdateAlignment& alignment) {
  const double norms = std::sqrt(alignment.gradient_squares) * std::sqrt(alignment.update_squares);
  if (!(norms > 0) || !std::isfinite(norms) || !std::isfinite(alignment.product)) return 0;
  return std::clamp(alignment.product / norms, -1.0, 1.0);
}

double next_rate_factor(const HypergradientConfig& config, double factor,
                        const UpdateAlignment& alignment) {
  return std::clamp(factor * (1 + config.strength * cosine(alignment)), 1 / config.bound,
                    config.bound);
}

}  // namespace hecate::scheduler
