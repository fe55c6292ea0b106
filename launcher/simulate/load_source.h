#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "sharding/loads.h"

/// Where the simulator's loads come from.
namespace hecate::launcher {

/// `even`, `zipf:S`, `dirichlet:A` (skew: concentration 1 / A) or `trace:FILE`, then options after
/// commas: `drift=D`, `burst=CHANCE`, `share=S` (of all tokens that a burst sends to one expert),
/// `noise=N`, `seed=N`; of traces `from=SAMPLE`, `every=STEPS` (steps per sample).
class LoadSource {
 public:
  virtual ~LoadSource() = default;
  /// Assignments of one micro-batch. @param tokens of each source.
  virtual sharding::StepLoads loads(const sharding::LoadShape& shape, int64_t tokens, int64_t top_k,
                                    int64_t step) const = 0;
};

/// A trace of fewer layers repeats from layer 0; of fewer sources, neighbours share a row; of more
/// sources or experts, neighbours are summed. More experts than recorded, k times as many: layer l
/// puts k recorded layers (k l, k l + 1, ..., from layer 0 again) side by side, each with an equal
/// share of the tokens, so that the skew among experts stays what it was. Each row is scaled to the
/// tokens by largest remainders.
/// @throws InvalidArgument for text that is none of these, IoError.
std::unique_ptr<LoadSource> make_load_source(const std::string& text);

}  // namespace hecate::launcher
