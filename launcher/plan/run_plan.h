#pragma once
#include <string>

#include "launcher/config/run_config.h"

namespace hecate::launcher {

struct RunPlanOptions {
  int ranks = 1;
  double load_factor = 1.5;  ///< rows of the busiest rank over the mean that memory must hold
};

/// What a run would be on that many ranks: t and m, memory of the ranks by category against the
/// budget, a model of the step, and, where the budget does not suffice, which settings would do.
/// Links that `cluster` does not give are not guessed: t is then 0 unless fssdp.overlap_degree says
/// otherwise. @return text for people.
std::string plan_run(const RunConfig& config, const RunPlanOptions& options);

}  // namespace hecate::launcher
