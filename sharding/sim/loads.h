#pragma once
#include <cstdint>
#include <string>

#include "sharding/loads.h"

/// Loads that nobody recorded: a function of (seed, step) alone.
namespace hecate::sharding::sim {

enum class LoadKind : uint8_t {
  even,       ///< every expert alike
  zipf,       ///< popularity 1 / rank^skew, a random order of experts per layer
  dirichlet,  ///< popularity drawn from a symmetric Dirichlet distribution, concentration 1 / skew
};

struct SyntheticLoads {
  LoadKind kind = LoadKind::even;
  double skew = 1;
  double noise = 0.1;        ///< of a source's share of an expert, relative
  double drift = 0;          ///< 1 / steps after which popularity is another draw
  double burst_chance = 0;   ///< per layer and step, that one expert becomes popular for a step
  double burst_share = 0.3;  ///< of all tokens that then go to it
  uint64_t seed = 1;
};

/// Assignments of step `step` in a shape: every source's rows of a layer sum to `assignments`, no
/// expert gets more than `most` of one source (largest remainders, then lower index).
/// With drift d, popularities pass from one independent draw to the next in 1 / d steps, on an arc
/// between the two, so that they are as skewed on the way.
/// @throws InvalidArgument when experts x most < assignments.
StepLoads synthetic_loads(const SyntheticLoads& loads, const LoadShape& shape, int64_t assignments,
                          int64_t most, int64_t step);

/// `weights` scaled to whole numbers that sum to `sum`, each at most `most`.
std::vector<int64_t> rounded(std::span<const double> weights, int64_t sum, int64_t most);

}  // namespace hecate::sharding::sim
