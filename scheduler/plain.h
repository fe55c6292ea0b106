#pragma once
#include "scheduler/decay.h"
#include "scheduler/schedule.h"
#include "scheduler/warmup.h"

/// The schedules that everyone has, for comparison. Constructors throw as make_schedule.
namespace hecate::scheduler {

class Constant final : public Schedule {
 public:
  explicit Constant(const ScheduleParameters& parameters);
  double rate(double x) const override { return peak_ * warmup_.at(x); }

 private:
  double peak_;
  Warmup warmup_;
};

class InverseSqrt final : public Schedule {
 public:
  explicit InverseSqrt(const ScheduleParameters& parameters);
  double rate(double x) const override;

 private:
  double peak_;
  Warmup warmup_;
};

/// A decay that begins when the warm-up is over.
class FallingSchedule : public Schedule {
 public:
  double rate(double x) const override;

 protected:
  FallingSchedule(const ScheduleParameters& parameters, const char* shape);

 private:
  double peak_, total_;
  Warmup warmup_;
  Decay decay_;
};

class Linear final : public FallingSchedule {
 public:
  explicit Linear(const ScheduleParameters& parameters) : FallingSchedule(parameters, "linear") {}
};

class Cosine final : public FallingSchedule {
 public:
  explicit Cosine(const ScheduleParameters& parameters) : FallingSchedule(parameters, "cosine") {}
};

}  // namespace hecate::scheduler
