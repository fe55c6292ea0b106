#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "launcher/config/run_config.h"
#include "launcher/run/run_directory.h"

namespace hecate::launcher {

/// A run of its own that decays a checkpoint of another run's stable phase into a release; the
/// other run is only read.
struct Branch {
  std::filesystem::path checkpoint;
  int64_t step = 0;
  RunConfig config;  ///< the checkpoint's, with the decay as the run's end
};

/// @param path a checkpoint, or a run whose newest one is meant.
/// @param decay its length: steps, tokens, or a share of all that the release will have seen.
/// @param overrides of the checkpoint's configuration, "key=value".
/// @throws IoError where there is no checkpoint; InvalidArgument for a malformed decay, a schedule
///   without a stable phase, or a checkpoint outside of it.
Branch open_branch(const std::filesystem::path& path, const std::string& decay,
                   const std::vector<std::string>& overrides);

/// Puts the checkpoint into the directory of the branch's run, which is then resumed from it.
/// @throws IoError naming what is wrong with the checkpoint, or what cannot be written.
void start_branch(const Branch& branch, const RunDirectory& directory);

}  // namespace hecate::launcher
