#include "scheduler/schedule.h"

namespace hecate::scheduler {

std::optional<double> end_point_in(const Schedule& schedule, double from, double to) {
  for (const double point : schedule.end_points())
    if (point > from && point <= to) return point;
  return std::nullopt;
}

double rate_of_update(const Schedule& schedule, double from, double to) {
  return schedule.rate_before(end_point_in(schedule, from, to).value_or(to));
}

}  // namespace hecate::scheduler
