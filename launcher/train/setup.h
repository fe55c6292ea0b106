#pragma once
#include <optional>

#include "launcher/config/run_config.h"
#include "launcher/train/engine.h"
#include "launcher/train/job.h"
#include "launcher/train/plan_inputs.h"

namespace hecate::launcher {

/// Compute threads of a rank: the configuration's number, else one where several ranks share the
/// machine, else all cores.
int compute_threads(const DeviceConfig& device, const Job& job = {});

/// A configuration whose model is complete: the vocabulary taken from the data where it is 0.
/// @throws InvalidArgument if the model's vocabulary is smaller than the data's (both named), or
/// nothing says how large it is; errors of data::describe.
RunConfig with_vocabulary(RunConfig config);

/// What the engine of a complete configuration is made from, on one rank.
EngineOptions engine_options(const RunConfig& config);
/// The same on a rank of `job`. @param inputs of the job; unused on one rank.
/// @throws InvalidArgument when the strategy does not fit the number of ranks.
EngineOptions engine_options(const RunConfig& config, const Job& job, const PlanInputs& inputs);

}  // namespace hecate::launcher
