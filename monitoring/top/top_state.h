#pragma once
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "monitoring/top/exposition.h"

namespace hecate::monitoring {

/// What `hecate top` shows of a run; NaN: not known.
struct TopState {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

  struct Layer {
    double max_over_mean = kNone;        ///< busiest expert
    double imbalance_at_owners = kNone;  ///< busiest rank, before copies
    double imbalance = kNone;            ///< and with them
  };
  struct Rank {
    double compute_seconds = kNone, waited_seconds = kNone;
  };

  double step = kNone, total_steps = kNone, tokens = kNone;
  double loss = kNone, eval_loss = kNone, rate = kNone, gradient_norm = kNone;
  double step_seconds = kNone, tokens_per_s = kNone, flops_utilization = kNone;
  double exposed_share = kNone, slowest_rank = kNone;
  double peak_bytes = kNone, budget_bytes = kNone;
  double age_seconds = kNone;       ///< since the last step ended
  std::map<int64_t, Layer> layers;  ///< by their number in the model
  std::map<int64_t, Rank> ranks;
  std::vector<double> losses, speeds;  ///< of the steps seen, oldest first; at most kMostHistory

  static constexpr size_t kMostHistory = 2000;

  /// Appends what the state says of its step to the histories, once per step; a step before the
  /// last one (a run that was resumed) drops what came after it.
  void remember();

 private:
  std::vector<double> steps_;  // of the histories
};

/// Sets what the exporters of a run's ranks say (names as in docs/monitoring.md); a value that
/// several of them have is that of the first. Then remember().
/// @param now seconds since 1970.
void take_samples(std::span<const Sample> samples, double now, TopState& state);

/// Sets what a step's line of steps.jsonl says (dotted names), or an evaluation's; then remember().
/// @param now seconds since 1970.
void take_columns(const std::map<std::string, double>& values, double now, TopState& state);

}  // namespace hecate::monitoring
