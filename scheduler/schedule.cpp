#include "scheduler/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/base/error.h"

namespace hecate::scheduler {
namespace {

// "200" steps or "2%" of the run.
int64_t parse_length(const std::string& text, int64_t steps, const char* key) {
  size_t used = 0;
  double value = -1;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const bool share = used > 0 && text.substr(used) == "%";
  HECATE_CHECK(used > 0 && (share || used == text.size()) && std::isfinite(value) && value >= 0,
               "schedule.", key, " = '", text,
               "': expected steps (200) or a share of the run (2%)");
  return static_cast<int64_t>(
      std::llround(share ? value / 100 * static_cast<double>(steps) : value));
}

double warm(int64_t step, int64_t warmup) {
  return step < warmup ? static_cast<double>(step) / static_cast<double>(warmup) : 1.0;
}

class Constant final : public Schedule {
 public:
  Constant(double rate, int64_t warmup) : rate_(rate), warmup_(warmup) {}
  double rate(int64_t step) const override { return rate_ * warm(step, warmup_); }

 private:
  double rate_;
  int64_t warmup_;
};

class Cosine final : public Schedule {
 public:
  Cosine(double rate, double floor, int64_t warmup, int64_t steps)
      : rate_(rate), floor_(floor * rate), warmup_(warmup), steps_(steps) {}
  double rate(int64_t step) const override {
    if (step < warmup_) return rate_ * warm(step, warmup_);
    const double progress =
        std::min(1.0, static_cast<double>(step - warmup_) /
                          static_cast<double>(std::max<int64_t>(1, steps_ - warmup_)));
    return floor_ + (rate_ - floor_) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }

 private:
  double rate_, floor_;
  int64_t warmup_, steps_;
};

}  // namespace

std::unique_ptr<Schedule> make_schedule(const ScheduleConfig& config, int64_t steps) {
  const int64_t warmup = parse_length(config.warmup, steps, "warmup");
  HECATE_CHECK(warmup <= steps, "schedule.warmup is ", warmup, " steps, the run has ", steps);
  if (config.kind == "constant") return std::make_unique<Constant>(config.rate, warmup);
  if (config.kind == "cosine")
    return std::make_unique<Cosine>(config.rate, config.floor_ratio, warmup, steps);
  throw InvalidArgument(
      concat("schedule.kind = '", config.kind, "' is unknown (known: constant, cosine)"));
}

}  // namespace hecate::scheduler
