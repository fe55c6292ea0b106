#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "monitoring/report/run_data.h"

namespace hecate::launcher {

/// Of a run's loads.npy [step, rank, layer, expert], summed over the ranks; of long or wide traces
/// steps that are evenly spread. Nothing where there is no such file; where it is none, `notes`
/// says so.
std::optional<monitoring::ExpertLoads> read_load_trace(const std::filesystem::path& path,
                                                       std::vector<std::string>& notes);

}  // namespace hecate::launcher
