#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "launcher/config/run_config.h"
#include "launcher/train/engine.h"
#include "launcher/train/job.h"
#include "launcher/train/plan_inputs.h"
#include "runtime/memory/ledger.h"

/// What a run will hold, before anything is allocated: engines of ranks that are not there, on a
/// ledger that only counts.
namespace hecate::launcher {

/// The engine of one rank of the topology's ranks, with even routing: it can be asked what it would
/// hold and for its graphs, nothing else. @throws as the engine.
Engine imagined_engine(const RunConfig& config, const PlanInputs& inputs, int rank);

/// Bytes that rank `rank` of the topology's ranks holds at most in a step, by category.
/// @param load_factor rows that experts get over those of even routing.
/// @throws as the engine: InvalidArgument for what cannot be trained on that many ranks.
MemoryBytes predict_memory(const RunConfig& config, const PlanInputs& inputs, int rank,
                           double load_factor = 1);

/// The most copies per layer (m, at most t, with fssdp.calibrate 2 t) with which rank 0 stays
/// within device.memory_gib; as many where there is no budget. @throws InvalidArgument when not
/// even none fit: how many bytes are missing, and which settings would do.
int fitting_capacity(const RunConfig& config, const PlanInputs& inputs, double load_factor = 1);

/// What this rank of a job of several would refuse when it makes the engine of a run, found out
/// before there is anything of the run. Not a collective. @throws InvalidArgument, IoError.
void check_trainable(const RunConfig& config, const Job& job);

/// Other settings with which the run would fit its budget, as "key=value" with the bytes they
/// need; empty if none of those tried does.
std::vector<std::string> settings_that_fit(const RunConfig& config, const PlanInputs& inputs,
                                           double load_factor);

/// Compute of a step on one rank, and of a layer without its experts, in floating-point operations.
struct StepFlops {
  double step = 0, experts = 0, layer_forward = 0, layer_backward = 0;
};
StepFlops predict_flops(const RunConfig& config, const PlanInputs& inputs);

}  // namespace hecate::launcher
