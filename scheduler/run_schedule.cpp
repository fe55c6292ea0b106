#include "scheduler/run_schedule.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/error.h"
#include "scheduler/length.h"

namespace hecate::scheduler {
namespace {

// The lengths of a configuration, still as they were written.
struct Lengths {
  Length warmup, decay, half_life, tail;
  std::vector<Length> end_points;
};

Lengths read_lengths(const ScheduleConfig& config) {
  Lengths lengths;
  lengths.warmup = parse_length("schedule.warmup", config.warmup);
  lengths.decay = parse_length("schedule.decay", config.decay);
  lengths.tail = parse_length("schedule.tail", config.tail);
  if (!config.half_life.empty())
    lengths.half_life = parse_length("schedule.half_life", config.half_life);
  for (const std::string& each : config.end_points)
    lengths.end_points.push_back(parse_length("schedule.end_points", each));
  return lengths;
}

bool any_in_tokens(const Lengths& lengths) {
  const auto in_tokens = [](const Length& length) { return length.unit == Length::Unit::tokens; };
  return in_tokens(lengths.warmup) || in_tokens(lengths.decay) || in_tokens(lengths.tail) ||
         in_tokens(lengths.half_life) || std::ranges::any_of(lengths.end_points, in_tokens);
}

// Lengths on the axis of the schedule.
class Axis {
 public:
  Axis(const RunLength& run, bool tokens) : run_(&run), tokens_(tokens) {}

  double total() const { return place(static_cast<double>(run_->steps())); }
  double from_start(const Length& length) const {
    if (length.unit == Length::Unit::share) return length.value * total();
    if (length.unit == Length::Unit::tokens) return length.value;
    return place(length.value);
  }
  /// A point of the run; a share is a whole step.
  double point(const Length& length) const {
    if (length.unit != Length::Unit::share) return from_start(length);
    return place(std::round(length.value * static_cast<double>(run_->steps())));
  }
  /// Of a length that ends `after` before the run's end.
  double from_end(const Length& length, double after = 0) const {
    if (length.unit != Length::Unit::steps || !tokens_) return from_start(length);
    const double end = run_->step_at(total() - after);
    // More steps than there are: as long as they would be at the first batch.
    return run_->tokens_at(end) - run_->tokens_at(end - length.value);
  }

 private:
  double place(double step) const { return tokens_ ? run_->tokens_at(step) : step; }

  const RunLength* run_;
  bool tokens_;
};

void check_used(const ScheduleConfig& config, const Lengths& lengths) {
  const bool cycles = config.kind == "wsd_s" || config.kind == "cyclic_cosine";
  HECATE_CHECK(cycles || config.end_points.empty(),
               "schedule.end_points with schedule.kind = ", config.kind,
               ": expected wsd_s or cyclic_cosine");
  HECATE_CHECK(config.kind != "wsd_s" || lengths.decay.unit == Length::Unit::share,
               "schedule.decay = '", config.decay,
               "' with schedule.kind = wsd_s: expected a share of the run so far, such as 10%");
}

ScheduleParameters parameters_of(const ScheduleConfig& config, const Lengths& lengths,
                                 const Axis& axis) {
  ScheduleParameters parameters;
  parameters.peak = config.rate;
  parameters.floor_ratio = config.floor_ratio;
  parameters.warmup = axis.from_start(lengths.warmup);
  parameters.total = axis.total();
  if (config.kind == "wsdc") parameters.tail = axis.from_end(lengths.tail);
  parameters.decay = axis.from_end(lengths.decay, parameters.tail);
  parameters.half_life = axis.from_end(lengths.half_life, parameters.tail);
  parameters.decay_shape = config.decay_shape;
  for (const Length& each : lengths.end_points) parameters.end_points.push_back(axis.point(each));
  if (parameters.end_points.empty()) parameters.end_points = {parameters.total};
  parameters.decay_fraction = lengths.decay.value;
  parameters.decay_of = config.decay_of;
  parameters.a = config.power.a;
  parameters.b = config.power.b;
  parameters.variant = config.power.variant;
  return parameters;
}

}  // namespace

RunSchedule::RunSchedule(const ScheduleConfig& config, const RunLength& run) : run_(run) {
  const Lengths lengths = read_lengths(config);
  check_used(config, lengths);
  over_tokens_ = config.kind == "power" || any_in_tokens(lengths);
  parameters_ = parameters_of(config, lengths, Axis(run_, over_tokens_));
  parameters_.unit = over_tokens_ ? "tokens" : "steps";
  parameters_.batches = run_.batches();
  schedule_ = make_schedule(config.kind, parameters_);
}

double RunSchedule::place(const Position& position) const {
  return static_cast<double>(over_tokens_ ? position.tokens : position.step);
}

double RunSchedule::rate(const Position& from, const Position& to) const {
  return rate_of_update(*schedule_, place(from), place(to));
}

double RunSchedule::rate_at(const Position& position) const {
  return schedule_->rate(place(position));
}

bool RunSchedule::ends_cycle(const Position& from, const Position& to) const {
  return end_point_in(*schedule_, place(from), place(to)).has_value();
}

double RunSchedule::rate_at_tokens(double tokens) const {
  return schedule_->rate(over_tokens_ ? tokens : run_.step_at(tokens));
}

std::vector<double> RunSchedule::end_steps() const {
  std::vector<double> steps = schedule_->end_points();
  if (over_tokens_)
    for (double& point : steps) point = run_.step_at(point);
  return steps;
}

}  // namespace hecate::scheduler
