#include "runtime/data/masking.h"

#include "runtime/base/error.h"
#include "runtime/base/rng.h"

namespace hecate::data {

void mask_tokens(const MaskingConfig& config, uint64_t seed, uint64_t sample,
                 std::span<const int32_t> tokens, std::span<int32_t> masked,
                 std::span<int32_t> targets) {
  HECATE_CHECK(tokens.size() == masked.size() && tokens.size() == targets.size(),
               "mask_tokens: ", tokens.size(), " tokens, ", masked.size(), " masked, ",
               targets.size(), " targets");
  HECATE_CHECK(config.mask_id >= 0 && config.random_ids > 0, "mask_tokens: mask id ",
               config.mask_id, ", ", config.random_ids, " random ids");
  HECATE_CHECK(config.selected_share >= 0 && config.selected_share <= 1 && config.mask_share >= 0 &&
                   config.random_share >= 0 && config.mask_share + config.random_share <= 1,
               "mask_tokens: shares ", config.selected_share, ", ", config.mask_share, ", ",
               config.random_share);
  const CounterRng rng(CounterRng(seed, stream_of("data.masking")).bits(sample), 0);
  for (size_t p = 0; p < tokens.size(); ++p) {
    const int32_t token = tokens[p];
    masked[p] = token;
    targets[p] = -1;
    if (token == config.kept_id || rng.uniform(3 * p) >= config.selected_share) continue;
    targets[p] = token;
    const double kind = rng.uniform(3 * p + 1);
    if (kind < config.mask_share)
      masked[p] = config.mask_id;
    else if (kind < config.mask_share + config.random_share)
      masked[p] =
          static_cast<int32_t>(rng.below(3 * p + 2, static_cast<uint64_t>(config.random_ids)));
  }
}

}  // namespace hecate::data
