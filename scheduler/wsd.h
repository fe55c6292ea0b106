#pragma once
#include "scheduler/decay.h"
#include "scheduler/schedule.h"
#include "scheduler/warmup.h"

namespace hecate::scheduler {

/// Warm-up, stable, decay, and from there on constant. WSD decays until the run's end (MiniCPM,
/// arXiv 2404.06395), WSDC until `tail` before it (PLM, arXiv 2503.12167).
class Wsd final : public Schedule {
 public:
  explicit Wsd(const ScheduleParameters& parameters);
  double rate(double x) const override;

 private:
  double peak_, decay_start_, decay_length_;
  Warmup warmup_;
  Decay decay_;
};

}  // namespace hecate::scheduler
