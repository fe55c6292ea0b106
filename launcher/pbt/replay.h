#pragma once
#include <filesystem>
#include <vector>

#include "launcher/pbt/population_log.h"
#include "launcher/train/trainer.h"

namespace hecate::launcher {

/// Trains one model through the values that a population found: those of segment i from its step to
/// that of the next. Continues where the directory's newest checkpoint is.
/// @param config complete; its values of the searched keys do not count. All ranks must call.
/// @throws as Trainer.
TrainSummary run_replay(const RunConfig& config, const std::vector<ReplaySegment>& segments,
                        const RunDirectory& directory, const Job& job);

}  // namespace hecate::launcher
