#include "scheduler/run_length.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace hecate::scheduler {

RunLength::RunLength(int64_t steps, int64_t sequences, int64_t sequence,
                     const std::vector<RampStage>& stages)
    : steps_(steps), sequence_(sequence) {
  HECATE_CHECK(steps >= 1 && sequences >= 1 && sequence >= 1, "a run of ", steps,
               " steps with batches of ", sequences, " sequences of ", sequence,
               " tokens: expected all to be at least 1");
  int64_t step = 0, tokens = 0;
  for (const RampStage& stage : stages) {
    HECATE_CHECK(stage.steps >= 1 && stage.sequences >= 1, "train.batch_ramp: a stage of ",
                 stage.steps, " steps with batches of ", stage.sequences,
                 " sequences: expected both to be at least 1");
    stages_.push_back({step, tokens, stage.sequences});
    step += stage.steps;
    tokens += stage.steps * stage.sequences * sequence;
  }
  HECATE_CHECK(step < steps, "train.batch_ramp: its stages are ", step,
               " steps long, the run (train.steps) has ", steps);
  stages_.push_back({step, tokens, sequences});
}

const RunLength::Stage& RunLength::stage_of(double step) const {
  const auto after = std::ranges::upper_bound(
      stages_, step, {}, [](const Stage& stage) { return static_cast<double>(stage.first_step); });
  return after == stages_.begin() ? stages_.front() : *std::prev(after);
}

int64_t RunLength::batch_at(int64_t step) const {
  return stage_of(static_cast<double>(step)).sequences;
}

int64_t RunLength::tokens_at(int64_t step) const {
  const Stage& stage = stage_of(static_cast<double>(step));
  return stage.first_token + (step - stage.first_step) * stage.sequences * sequence_;
}

double RunLength::tokens_at(double step) const {
  const Stage& stage = stage_of(step);
  return static_cast<double>(stage.first_token) +
         (step - static_cast<double>(stage.first_step)) *
             static_cast<double>(stage.sequences * sequence_);
}

double RunLength::step_at(double tokens) const {
  auto after = std::ranges::upper_bound(stages_, tokens, {}, [](const Stage& stage) {
    return static_cast<double>(stage.first_token);
  });
  const Stage& stage = after == stages_.begin() ? stages_.front() : *std::prev(after);
  return static_cast<double>(stage.first_step) +
         (tokens - static_cast<double>(stage.first_token)) /
             static_cast<double>(stage.sequences * sequence_);
}

std::vector<BatchStage> RunLength::batches() const {
  std::vector<BatchStage> all;
  for (const Stage& stage : stages_)
    all.push_back({.from = static_cast<double>(stage.first_token),
                   .tokens = static_cast<double>(stage.sequences * sequence_)});
  return all;
}

}  // namespace hecate::scheduler
