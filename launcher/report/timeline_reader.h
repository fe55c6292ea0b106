#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "monitoring/report/run_data.h"

namespace hecate::launcher {

/// The last step that the run's timelines hold in full, of the first ranks (at most four).
/// @param directory of rank-0.json and so on, as runtime/trace writes them.
/// @param notes gets a sentence about each file that is damaged or too large to read (64 MiB).
/// @return nothing where there is no timeline. @throws IoError.
std::optional<monitoring::TimelineExcerpt> read_timeline(const std::filesystem::path& directory,
                                                         std::vector<std::string>& notes);

}  // namespace hecate::launcher
