#pragma once
#include <cstdint>
#include <span>

namespace hecate::data {

/// Masked language modelling as in BERT (Devlin et al. 2018, arXiv:1810.04805, section 3.1).
struct MaskingConfig {
  int32_t mask_id = -1;          ///< replaces masked tokens
  int64_t random_ids = 0;        ///< random replacements are in [0, random_ids)
  int32_t kept_id = -1;          ///< never selected, e.g. the document end; -1: none
  double selected_share = 0.15;  ///< of the tokens are to be predicted:
  double mask_share = 0.8;       ///<   of these become mask_id,
  double random_share = 0.1;     ///<   a random id, and the rest stays
};

/// masked[p] and targets[p] (the token, or -1 where it was not selected) are functions of (seed,
/// sample, p, tokens[p]) alone. `masked` may alias `tokens`. A short sample may have no target.
/// @throws InvalidArgument where sizes differ, an id is missing, or shares are impossible.
void mask_tokens(const MaskingConfig& config, uint64_t seed, uint64_t sample,
                 std::span<const int32_t> tokens, std::span<int32_t> masked,
                 std::span<int32_t> targets);

}  // namespace hecate::data
