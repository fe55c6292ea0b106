#pragma once
#include <vector>

#include "scheduler/decay.h"
#include "scheduler/schedule.h"
#include "scheduler/warmup.h"

namespace hecate::scheduler {

/// The power scheduler (arXiv 2408.13359), over n tokens seen: eta(n) = min(peak, beta a n^b),
/// where beta is the batch in sequences of 4096 tokens, whatever the model's sequence. Warm-up: n /
/// N_w eta(N_w). Over the last N_d tokens f(x) eta(N - N_d). Variant `granite`: the warm-up goes to
/// the peak, the decay starts from beta a (N - N_d)^b unclipped. A batch that changes moves beta
/// with it; warm-up and decay hold the beta of N_w and N - N_d.
class Power final : public Schedule {
 public:
  explicit Power(const ScheduleParameters& parameters);
  double rate(double x) const override;
  double rate_before(double x) const override;

 private:
  double unclipped(double x, double batch_tokens) const;
  double at(double x, double batch_tokens) const;
  /// Tokens per batch from x on, or of the batch that ends at x.
  double batch(double x) const;
  double batch_before(double x) const;

  double peak_, a_, b_, decay_start_, decay_length_;
  bool granite_;
  std::vector<BatchStage> batches_;
  Warmup warmup_;
  Decay decay_;
  double warm_rate_ = 0, decay_rate_ = 0;
};

}  // namespace hecate::scheduler
