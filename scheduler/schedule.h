#pragma once
#include <optional>
#include <vector>

/// Learning-rate schedules: pure functions of how far a run is, so that resuming can never change
/// them.
namespace hecate::scheduler {

/// The rate over x, which is a number of updates done or of tokens seen, in the unit of the lengths
/// that the schedule was made from. x = 0 is the state before the first update. Stateless; rates
/// are never negative, and past the end no higher than at it.
class Schedule {
 public:
  virtual ~Schedule() = default;
  virtual double rate(double x) const = 0;
  /// The limit from below: differs from rate() where the rate jumps, as at an inner end point.
  virtual double rate_before(double x) const { return rate(x); }
  /// Where a cycle ends and the decayed model is worth keeping, rising; none for most schedules.
  virtual std::vector<double> end_points() const { return {}; }
};

/// The first end point in (from, to].
std::optional<double> end_point_in(const Schedule& schedule, double from, double to);

/// The rate of one update that takes the run from x = `from` to `to`: that of the decay's end where
/// an end point lies between, else the rate just before `to`.
double rate_of_update(const Schedule& schedule, double from, double to);

}  // namespace hecate::scheduler
