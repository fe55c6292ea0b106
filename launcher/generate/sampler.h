#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/real.h"

namespace hecate::launcher {

struct SamplingOptions {
  double temperature = 1;  ///< 0: always the likeliest token
  int64_t top_k = 0;       ///< only the k likeliest; 0: all
  double top_p = 1;        ///< only the likeliest that together reach this probability
  uint64_t seed = 0;
};

/// Draws the token at `index` of a text: a function of (options, index, logits) alone. Equal logits
/// count as ordered by id. @throws InvalidArgument for impossible options.
int32_t sample_token(const SamplingOptions& options, uint64_t index, std::span<const Real> logits);

}  // namespace hecate::launcher
