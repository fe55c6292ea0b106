#pragma once
#include <cstdint>
#include <vector>

#include "scheduler/parameters.h"

namespace hecate::scheduler {

/// Steps from the run's start on that use another batch than the rest.
struct RampStage {
  int64_t steps = 0;
  int64_t sequences = 0;  ///< per batch
};

/// How many updates a run has and how many tokens each of them sees: what lengths in steps, tokens
/// and shares are converted by. A batch that grows in stages makes steps of unequal size.
class RunLength {
 public:
  /// @param sequences per batch after the stages. @param sequence tokens.
  /// @throws InvalidArgument unless all are at least 1 and the stages end before the run does.
  RunLength(int64_t steps, int64_t sequences, int64_t sequence,
            const std::vector<RampStage>& stages = {});

  int64_t steps() const { return steps_; }
  int64_t tokens() const { return tokens_at(steps_); }
  /// Sequences in the batch of the update from `step` to step + 1.
  int64_t batch_at(int64_t step) const;
  /// Tokens seen after `step` updates, past the end too.
  int64_t tokens_at(int64_t step) const;
  /// The same between steps, and its inverse.
  double tokens_at(double step) const;
  double step_at(double tokens) const;
  /// Tokens per batch over tokens seen.
  std::vector<BatchStage> batches() const;

 private:
  struct Stage {
    int64_t first_step, first_token, sequences;
  };
  const Stage& stage_of(double step) const;

  int64_t steps_, sequence_;
  std::vector<Stage> stages_;
};

}  // namespace hecate::scheduler
