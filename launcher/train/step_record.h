#pragma once
#include <string>

#include "launcher/train/engine.h"

namespace hecate::launcher {

/// What a line of steps.jsonl says about a step.
struct StepRecord {
  int64_t step = 0;    ///< updates done: 1 after the first
  int64_t tokens = 0;  ///< seen so far in the run
  double rate = 0;
  int ranks = 1;
  double peak_flops_per_s = 0;  ///< multiply-add rate measured at start; 0: unknown
  const StepResult* result = nullptr;
  const models::StepStatistics* statistics = nullptr;
  MemoryBytes peak_bytes{};
};

/// One JSON object without a newline. Seconds by kind of operation under `breakdown`; per MoE layer
/// the largest over the mean expert load, its entropy as a share of the largest possible, and
/// dropped choices under `load`; `peak_bytes` by memory category; on several ranks, what they sent
/// one another under `traffic`.
std::string step_line(const StepRecord& record);

/// An evaluation after `step` updates.
std::string evaluation_line(int64_t step, int64_t tokens, const EvaluationResult& result,
                            double seconds);

}  // namespace hecate::launcher
