#pragma once
#include <filesystem>
#include <span>
#include <string>

#include "launcher/simulate/simulation.h"
#include "launcher/simulate/step_timing.h"

namespace hecate::launcher {

/// Several lines for people.
std::string to_text(const SimulationResult& result);
/// One JSON object, names as in the text.
std::string to_json(const SimulationResult& result);

/// Chrome's trace format: one process per simulated device (at most 64), a row per lane.
/// @throws IoError.
void write_timeline(std::span<const StepTiming::RunOf> runs, const std::filesystem::path& path);

}  // namespace hecate::launcher
