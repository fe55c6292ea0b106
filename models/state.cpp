#include "models/state.h"

#include <algorithm>

namespace hecate::models {

void StepStatistics::reset() {
  loss_sum = 0;
  valid_tokens = 0;
  for (MoeStatistics& layer : layers) {
    std::fill(layer.counts.begin(), layer.counts.end(), 0);
    layer.dropped = 0;
    layer.balance_loss = layer.z_loss = 0;
  }
}

}  // namespace hecate::models
