#pragma once
#include <filesystem>
#include <vector>

#include "monitoring/report/run_data.h"

namespace hecate::launcher {

/// A population's log of exploits, in its directory.
inline constexpr const char* kPopulationLog = "pbt.jsonl";

struct Population {
  std::vector<monitoring::Exploit> exploits;
  /// Directories of runs, in the order of their names; of a member that became a copy ("03.1") the
  /// last one.
  std::vector<std::filesystem::path> members;
};

/// Reads pbt.jsonl, one JSON object an exploit ("target", "donor", "target_step", "donor_step",
/// "target_score", "donor_score", and the hyper-parameters "old" and "new"), and finds the runs in
/// the directory or one below. Lines that are no exploits are passed over, as is a last line
/// without its end. @throws IoError.
Population read_population(const std::filesystem::path& directory);

}  // namespace hecate::launcher
