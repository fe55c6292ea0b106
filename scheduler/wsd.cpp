#include "scheduler/wsd.h"

namespace hecate::scheduler {

Wsd::Wsd(const ScheduleParameters& parameters)
    : peak_(parameters.peak),
      decay_start_(parameters.total - parameters.tail - parameters.decay),
      decay_length_(parameters.decay),
      warmup_(parameters.warmup),
      decay_(parameters.decay_shape, parameters.floor_ratio,
             parameters.half_life > 0 ? parameters.decay / parameters.half_life : 0) {
  check_common(parameters);
  check_decay(parameters);
}

double Wsd::rate(double x) const {
  if (!warmup_.over(x)) return peak_ * warmup_.at(x);
  if (x <= decay_start_ || decay_length_ == 0) return peak_;
  return peak_ * decay_((x - decay_start_) / decay_length_);
}

}  // namespace hecate::scheduler
