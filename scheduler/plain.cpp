#include "scheduler/plain.h"

#include <cmath>

#include "runtime/base/error.h"

namespace hecate::scheduler {

Constant::Constant(const ScheduleParameters& parameters)
    : peak_(parameters.peak), warmup_(parameters.warmup) {
  check_common(parameters);
}

InverseSqrt::InverseSqrt(const ScheduleParameters& parameters)
    : peak_(parameters.peak), warmup_(parameters.warmup) {
  check_common(parameters);
  HECATE_CHECK(warmup_.length() > 0,
               "schedule.kind = inverse_sqrt falls from the end of schedule.warmup: expected one "
               "above 0");
}

double InverseSqrt::rate(double x) const {
  return warmup_.over(x) ? peak_ * std::sqrt(warmup_.length() / x) : peak_ * warmup_.at(x);
}

FallingSchedule::FallingSchedule(const ScheduleParameters& parameters, const char* shape)
    : peak_(parameters.peak),
      total_(parameters.total),
      warmup_(parameters.warmup),
      decay_(shape, parameters.floor_ratio) {
  check_common(parameters);
}

double FallingSchedule::rate(double x) const {
  if (!warmup_.over(x)) return peak_ * warmup_.at(x);
  const double length = total_ - warmup_.length(), since = x - warmup_.length();
  // A run that is all warm-up falls after its end.
  return peak_ * decay_(length > 0 ? since / length : since > 0 ? 1 : 0);
}

}  // namespace hecate::scheduler
