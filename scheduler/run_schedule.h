#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "scheduler/config.h"
#include "scheduler/run_length.h"
#include "scheduler/schedule.h"

namespace hecate::scheduler {

/// How far a run is. Without hand-made changes of the batch tokens follow from the step.
struct Position {
  int64_t step = 0;    ///< updates done
  int64_t tokens = 0;  ///< seen by them
};

/// The schedule of one run: over tokens if its kind is power or one of its lengths is in tokens,
/// else over steps. Both give the same rates while all batches are equal. Immutable.
class RunSchedule {
 public:
  /// @throws InvalidArgument as parse_length and make_schedule; for end points with a kind that has
  ///   none, and a decay of wsd_s that is no share.
  RunSchedule(const ScheduleConfig& config, const RunLength& run);

  /// Of the update that leads from one position to the other.
  double rate(const Position& from, const Position& to) const;
  /// Whether that update ends a cycle: the model is decayed and worth keeping.
  bool ends_cycle(const Position& from, const Position& to) const;
  /// The rate at a point, which is none of an update.
  double rate_at(const Position& position) const;

  /// The rate between steps, for plots and tables.
  double rate_at_tokens(double tokens) const;
  /// The end points, as steps of the run.
  std::vector<double> end_steps() const;
  bool over_tokens() const { return over_tokens_; }
  const RunLength& run() const { return run_; }
  /// What the schedule was made from, in its unit.
  const ScheduleParameters& parameters() const { return parameters_; }

 private:
  double place(const Position& position) const;

  RunLength run_;
  bool over_tokens_ = false;
  ScheduleParameters parameters_;
  std::unique_ptr<Schedule> schedule_;
};

}  // namespace hecate::scheduler
