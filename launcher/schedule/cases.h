#pragma once
#include <string>

namespace hecate::launcher {

/// Works out schedules at points. The text is a JSON object with an array `cases`; each has
/// `schedule` (a kind), `unit` (steps or tokens), `params` and `points`, an array of [x, rate] or
/// x; rates are replaced by this program's, everything else is kept. Parameters:
/// - all: lr_max; lr_min or floor_ratio (else 0, for wsd_s and wsdc 0.1); warmup; total.
/// - wsd: decay_start, decay (shape), half_life. wsdc: decay_end as well.
/// - wsd_s: end_points, decay_fraction, decay_of, decay (shape). cyclic_cosine: end_points.
/// - power: warmup_tokens, total_tokens, decay_tokens, decay (shape), a, b, variant,
///   batch_sequences, sequence_tokens.
/// @param source names the text in errors.
/// @throws InvalidArgument for text that is no such file, an unknown kind or parameter, a parameter
///   that is missing or impossible: the case is named.
std::string schedule_cases(const std::string& text, const std::string& source);

}  // namespace hecate::launcher
