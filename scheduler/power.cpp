#include "scheduler/power.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/error.h"
#include "scheduler/names.h"

namespace hecate::scheduler {
namespace {

constexpr double kSequenceTokens = 4096;

std::vector<BatchStage> checked(std::vector<BatchStage> batches) {
  HECATE_CHECK(!batches.empty() && batches.front().from == 0,
               "schedule.kind = power needs the tokens per batch "
               "(train.global_batch x model.sequence)");
  for (size_t i = 0; i < batches.size(); ++i) {
    HECATE_CHECK(std::isfinite(batches[i].tokens) && batches[i].tokens > 0,
                 "schedule.kind = power needs tokens per batch above 0, got ", batches[i].tokens);
    HECATE_CHECK(i == 0 || batches[i].from > batches[i - 1].from,
                 "schedule.kind = power: batches out of order at ", batches[i].from, " tokens");
  }
  return batches;
}

}  // namespace

Power::Power(const ScheduleParameters& parameters)
    : peak_(parameters.peak),
      a_(parameters.a),
      b_(parameters.b),
      decay_start_(parameters.total - parameters.decay),
      decay_length_(parameters.decay),
      granite_(index_of("schedule.power.variant", parameters.variant, {"paper", "granite"}) == 1),
      batches_(checked(parameters.batches)),
      warmup_(parameters.warmup),
      decay_(parameters.decay_shape, parameters.floor_ratio,
             parameters.half_life > 0 ? parameters.decay / parameters.half_life : 0) {
  check_common(parameters);
  check_decay(parameters);
  HECATE_CHECK(std::isfinite(a_) && a_ > 0 && std::isfinite(b_), "schedule.power.a = ", a_,
               ", schedule.power.b = ", b_, ": expected finite numbers, a above 0");
  const auto law = [&](double x) { return std::min(peak_, unclipped(x, batch(x))); };
  warm_rate_ = granite_ ? peak_ : law(warmup_.length());
  decay_rate_ = granite_ ? unclipped(decay_start_, batch(decay_start_)) : law(decay_start_);
  // From the very start (all decay) the power law has no value to fall from.
  if (!std::isfinite(decay_rate_)) decay_rate_ = peak_;
}

double Power::unclipped(double x, double batch_tokens) const {
  return batch_tokens / kSequenceTokens * a_ * std::pow(x, b_);
}

double Power::batch(double x) const {
  const auto next = std::ranges::upper_bound(batches_, x, {}, &BatchStage::from);
  return std::prev(next)->tokens;
}

double Power::batch_before(double x) const {
  const auto here = std::ranges::lower_bound(batches_, x, {}, &BatchStage::from);
  return here == batches_.begin() ? here->tokens : std::prev(here)->tokens;
}

double Power::at(double x, double batch_tokens) const {
  if (warmup_.length() > 0 && x <= warmup_.length()) return warm_rate_ * warmup_.at(x);
  if (x > decay_start_ && decay_length_ > 0)
    return decay_rate_ * decay_((x - decay_start_) / decay_length_);
  return std::min(peak_, unclipped(x, batch_tokens));
}

double Power::rate(double x) const {
  return at(x, batch(x));
}

double Power::rate_before(double x) const {
  return at(x, batch_before(x));
}

}  // namespace hecate::scheduler
