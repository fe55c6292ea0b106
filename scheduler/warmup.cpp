#include "scheduler/warmup.h"

#include <cmath>
#include <sstream>

#include "runtime/base/error.h"

namespace hecate::scheduler {

std::string length_text(double length, const ScheduleParameters& parameters) {
  std::ostringstream out;
  out.precision(12);
  out << length << ' ' << parameters.unit;
  return out.str();
}

void check_common(const ScheduleParameters& parameters) {
  const auto check = [](const char* name, double value) {
    HECATE_CHECK(std::isfinite(value) && value >= 0, name, " = ", value,
                 ": expected a finite number, at least 0");
  };
  check("schedule.rate", parameters.peak);
  check("schedule.warmup", parameters.warmup);
  check("schedule.decay", parameters.decay);
  check("schedule.tail", parameters.tail);
  check("schedule.half_life", parameters.half_life);
  check("the run's length", parameters.total);
  HECATE_CHECK(parameters.warmup <= parameters.total, "schedule.warmup is ",
               length_text(parameters.warmup, parameters), ", the run has ",
               length_text(parameters.total, parameters));
}

void check_decay(const ScheduleParameters& parameters) {
  const double start = parameters.total - parameters.decay - parameters.tail;
  HECATE_CHECK(start >= 0, "schedule.decay of ", length_text(parameters.decay, parameters),
               parameters.tail > 0
                   ? " and schedule.tail of " + length_text(parameters.tail, parameters) + " are"
                   : " is",
               " longer than the run of ", length_text(parameters.total, parameters));
  HECATE_CHECK(parameters.warmup <= start, "schedule.warmup of ",
               length_text(parameters.warmup, parameters),
               " goes beyond the start of schedule.decay at ", length_text(start, parameters));
}

}  // namespace hecate::scheduler
