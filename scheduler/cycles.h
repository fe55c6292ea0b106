#pragma once
#include <vector>

#include "scheduler/decay.h"
#include "scheduler/schedule.h"
#include "scheduler/warmup.h"

namespace hecate::scheduler {

/// One main branch that decays at each end point and goes on from there at the full rate; the last
/// decay's end is kept for ever. At an inner end point rate() is the peak again, rate_before() the
/// decay's end.
class CyclicSchedule : public Schedule {
 public:
  double rate(double x) const override;
  double rate_before(double x) const override;
  std::vector<double> end_points() const override { return end_points_; }

 protected:
  /// @throws InvalidArgument for end points that are none, out of order or beyond the run.
  CyclicSchedule(const ScheduleParameters& parameters, const char* shape);
  /// Where the decay of cycle `index` begins. @param start of the cycle.
  virtual double decay_start(double start, double end) const = 0;

  Warmup warmup_;

 private:
  double in_cycle(double x, size_t index) const;

  double peak_;
  Decay decay_;
  std::vector<double> end_points_;
};

/// WSD-S (arXiv 2410.05192).
class WsdS final : public CyclicSchedule {
 public:
  explicit WsdS(const ScheduleParameters& parameters);

 private:
  double decay_start(double start, double end) const override;

  double fraction_;
  bool of_cycle_;
};

/// A cosine in each cycle; the first begins when the warm-up is over.
class CyclicCosine final : public CyclicSchedule {
 public:
  explicit CyclicCosine(const ScheduleParameters& parameters);

 private:
  double decay_start(double start, double end) const override;
};

}  // namespace hecate::scheduler
