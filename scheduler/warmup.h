#pragma once
#include "scheduler/parameters.h"

namespace hecate::scheduler {

/// The linear rise that every schedule begins with: 0 at x = 0, 1 from `length` on.
class Warmup {
 public:
  explicit Warmup(double length) : length_(length) {}
  double length() const { return length_; }
  bool over(double x) const { return x >= length_; }
  double at(double x) const { return over(x) ? 1 : x / length_; }

 private:
  double length_;
};

/// What every kind asks of its parameters. @throws InvalidArgument for a negative or not finite
/// number, or a warm-up longer than the run.
void check_common(const ScheduleParameters& parameters);

/// @throws InvalidArgument if the decay (and the tail) is longer than the run, or the warm-up goes
/// beyond the decay's start.
void check_decay(const ScheduleParameters& parameters);

/// A length as messages name it: "2000 steps".
std::string length_text(double length, const ScheduleParameters& parameters);

}  // namespace hecate::scheduler
