#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/config_fields.h"

/// Learning-rate schedules: pure functions of the step (and the tokens seen), so that resuming can
/// never change them. Step 0 is the state before the first update.
namespace hecate::scheduler {

struct ScheduleConfig {
  std::string kind = "cosine";
  double rate = 1e-3;
  double floor_ratio = 0.1;
  std::string warmup = "2%";

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("kind", self.kind, "shape of the learning rate", one_of({"constant", "cosine"}));
    visit("rate", self.rate, "peak learning rate", at_least(0));
    visit("floor_ratio", self.floor_ratio, "rate at the end, as a share of the peak",
          between(0, 1));
    visit("warmup", self.warmup, "linear rise from 0: steps (200) or a share of the run (2%)",
          any());
  }
};

class Schedule {
 public:
  virtual ~Schedule() = default;
  /// Rate of the update that leads to step `step`, 1 <= step; 0 is the state before any. Never
  /// negative, constant past the end.
  virtual double rate(int64_t step) const = 0;
};

/// @param steps length of the run. @throws InvalidArgument for an unknown kind (with the known
/// ones), a malformed length, or a warm-up longer than the run.
std::unique_ptr<Schedule> make_schedule(const ScheduleConfig& config, int64_t steps);

}  // namespace hecate::scheduler
