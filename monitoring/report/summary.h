#pragma once
#include <string>
#include <vector>

#include "monitoring/report/run_data.h"

namespace hecate::monitoring {

/// A run in a few numbers; NaN: not known. Rates and times are medians over the last half of the
/// steps.
struct RunSummary {
  double last_step = 0, last_loss = 0, best_eval_loss = 0, bits_per_byte = 0;
  double tokens = 0, tokens_per_s = 0, step_seconds = 0, flops_utilization = 0;
  double imbalance = 0;   ///< of the worst layer: busiest over mean expert
  double peak_bytes = 0;  ///< of the first rank, all categories
};
RunSummary summarise(const RunData& run);

/// A part of a step's wall time.
struct StepPart {
  std::string name;
  double seconds = 0;
  bool exposed = false;  ///< the compute lane stood still for it
};
/// What a mean step of the last half consists of, in the order of the step: the compute lane's
/// operations (of the first rank), what it waited for (mean of the ranks), waiting for data, and
/// the rest. Where the log has a critical path of its own ("critical_path.*"), that.
/// Empty where the log says nothing.
std::vector<StepPart> step_parts(const RunData& run);

/// A lane's traffic: busy seconds of a mean step, and those the compute lane waited for.
struct HiddenTime {
  std::string name;
  double busy_seconds = 0, exposed_seconds = 0;
};
/// Empty for one rank.
std::vector<HiddenTime> hidden_times(const RunData& run);

}  // namespace hecate::monitoring
