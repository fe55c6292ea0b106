#include "scheduler/cycles.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/error.h"
#include "scheduler/names.h"

namespace hecate::scheduler {

CyclicSchedule::CyclicSchedule(const ScheduleParameters& parameters, const char* shape)
    : warmup_(parameters.warmup),
      peak_(parameters.peak),
      decay_(shape, parameters.floor_ratio),
      end_points_(parameters.end_points) {
  check_common(parameters);
  HECATE_CHECK(!end_points_.empty(), "schedule.end_points: expected at least one");
  double before = 0;
  for (const double point : end_points_) {
    HECATE_CHECK(std::isfinite(point) && point > before,
                 "schedule.end_points: ", length_text(point, parameters), " after ",
                 length_text(before, parameters), ": expected rising points above 0");
    before = point;
  }
  HECATE_CHECK(before <= parameters.total, "schedule.end_points: ", length_text(before, parameters),
               " lies beyond the run's end at ", length_text(parameters.total, parameters));
}

double CyclicSchedule::in_cycle(double x, size_t index) const {
  const double end = end_points_[index];
  const double start = decay_start(index == 0 ? 0 : end_points_[index - 1], end);
  return x <= start ? peak_ : peak_ * decay_((x - start) / (end - start));
}

double CyclicSchedule::rate(double x) const {
  if (!warmup_.over(x)) return peak_ * warmup_.at(x);
  const auto next = std::ranges::upper_bound(end_points_, x);
  return in_cycle(x, next == end_points_.end() ? end_points_.size() - 1
                                               : static_cast<size_t>(next - end_points_.begin()));
}

double CyclicSchedule::rate_before(double x) const {
  const auto here = std::ranges::find(end_points_, x);
  return here == end_points_.end() ? rate(x)
                                   : in_cycle(x, static_cast<size_t>(here - end_points_.begin()));
}

namespace {

const char* shape_of(const ScheduleParameters& parameters) {
  HECATE_CHECK(parameters.decay_shape != "half",
               "schedule.decay_shape = half with schedule.kind = wsd_s, whose decays differ in "
               "length: expected inverse or another shape");
  return parameters.decay_shape.c_str();
}

}  // namespace

WsdS::WsdS(const ScheduleParameters& parameters)
    : CyclicSchedule(parameters, shape_of(parameters)),
      fraction_(parameters.decay_fraction),
      of_cycle_(index_of("schedule.decay_of", parameters.decay_of, {"cumulative", "cycle"}) == 1) {
  HECATE_CHECK(fraction_ > 0 && fraction_ <= 1, "schedule.decay = ", 100 * fraction_,
               "%: expected a share of the run so far, above 0 and at most 100%");
  double before = 0;
  for (const double end : parameters.end_points) {
    const double start = decay_start(before, end);
    HECATE_CHECK(start >= before, "schedule.decay of ", length_text(end - start, parameters),
                 " is longer than the cycle from ", length_text(before, parameters), " to ",
                 length_text(end, parameters), " (schedule.end_points)");
    HECATE_CHECK(start >= parameters.warmup, "schedule.warmup of ",
                 length_text(parameters.warmup, parameters),
                 " goes beyond the start of schedule.decay at ", length_text(start, parameters));
    before = end;
  }
}

double WsdS::decay_start(double start, double end) const {
  return end - fraction_ * (of_cycle_ ? end - start : end);
}

CyclicCosine::CyclicCosine(const ScheduleParameters& parameters)
    : CyclicSchedule(parameters, "cosine") {
  HECATE_CHECK(parameters.warmup < parameters.end_points.front(), "schedule.warmup of ",
               length_text(parameters.warmup, parameters), " goes beyond the first end point at ",
               length_text(parameters.end_points.front(), parameters));
}

double CyclicCosine::decay_start(double start, double /*end*/) const {
  return std::max(start, warmup_.length());
}

}  // namespace hecate::scheduler
