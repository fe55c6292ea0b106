#pragma once
#include <string>

#include "launcher/checkpoint/writer.h"
#include "launcher/train/engine.h"

namespace hecate::launcher {

/// What a line of steps.jsonl says about a step.
struct StepRecord {
  int64_t step = 0;    ///< updates done: 1 after the first
  int64_t tokens = 0;  ///< seen so far in the run
  double rate = 0;     ///< the schedule's
  int ranks = 1;
  double peak_flops_per_s = 0;  ///< multiply-add rate measured at start; 0: unknown
  const StepResult* result = nullptr;
  const models::StepStatistics* statistics = nullptr;
  MemoryBytes peak_bytes{};
  int64_t budget_bytes = 0;  ///< of a rank's memory; 0: none
  double time = 0;           ///< of the step's end, seconds since 1970
  /// The last that ended since the record before; null: none.
  const checkpoint::SaveReport* saved = nullptr;
  /// Null on one rank.
  const ShardedModel* sharded = nullptr;
  bool placement = false;  ///< whether who owns and holds what is said
};

/// Numbers of one kind per expert, all layers together, up to which a line has them one by one.
inline constexpr int64_t kMostExpertNumbers = 1024;

/// One JSON object without a newline; docs/monitoring.md says what each key means.
std::string step_line(const StepRecord& record);

/// Shares of the kinds' waits in a step: what communication and the host did not hide.
double exposed_share(const StepResult& result);

/// How expert loads of a layer lie.
struct LoadSpread {
  double max_over_mean = 0;  ///< 0 without tokens
  double entropy = 0;        ///< as a share of the largest possible
};
LoadSpread load_spread(std::span<const int64_t> counts);

/// An evaluation after `step` updates.
std::string evaluation_line(int64_t step, int64_t tokens, const EvaluationResult& result,
                            double seconds);

}  // namespace hecate::launcher
