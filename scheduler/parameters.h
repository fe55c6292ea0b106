#pragma once
#include <string>
#include <vector>

namespace hecate::scheduler {

/// Power's batch from a point of the run on.
struct BatchStage {
  double from = 0;    ///< tokens seen
  double tokens = 0;  ///< per batch
};

/// What schedules are made from. All lengths are in one unit, steps or tokens; each kind reads
/// those that its comment in factory.h names.
struct ScheduleParameters {
  std::string unit = "steps";  ///< for messages
  double peak = 0;
  double floor_ratio = 0;  ///< of the peak
  double warmup = 0;
  double total = 0;
  double decay = 0;  ///< length
  double tail = 0;   ///< length at the floor, after the decay
  std::string decay_shape = "linear";
  double half_life = 0;
  std::vector<double> end_points;
  double decay_fraction = 0.1;          ///< of what decay_of says
  std::string decay_of = "cumulative";  ///< or cycle
  double a = 4, b = -0.51;
  std::string variant = "paper";      ///< or granite
  std::vector<BatchStage> batches{};  ///< rising, the first from 0
};

}  // namespace hecate::scheduler
