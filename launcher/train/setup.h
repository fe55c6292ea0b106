#pragma once
#include <optional>

#include "launcher/config/run_config.h"
#include "launcher/train/engine.h"

namespace hecate::launcher {

/// Compute threads of a configuration: its own number, or all cores of the machine.
int compute_threads(const DeviceConfig& device);

/// A configuration whose model is complete: the vocabulary taken from the data where it is 0.
/// @throws InvalidArgument if the model's vocabulary is smaller than the data's (both named), or
/// nothing says how large it is; errors of data::describe.
RunConfig with_vocabulary(RunConfig config);

/// What the engine of a complete configuration is made from.
EngineOptions engine_options(const RunConfig& config);

}  // namespace hecate::launcher
