#pragma once
#include <filesystem>
#include <string>

#include "launcher/config/run_config.h"

namespace hecate::launcher {

struct PopulationOptions {
  RunConfig config;
  std::filesystem::path run;
  bool resume = false;
  std::string listen;  ///< HOST:PORT; port 0 takes a free one
  std::string token;   ///< of HECATE_PBT_TOKEN
};

/// A configuration that a population can be made from: what is searched may be searched, and every
/// corner of the search space is possible. @throws InvalidArgument naming the key.
void check_population(const RunConfig& config);

/// Trains a population to its end: controller here, workers on this machine's slots and whoever
/// connects. The run directory then has best/ (a run: the best model's checkpoint), lineage.svg,
/// schedules.svg and pbt.jsonl beside journal.jsonl, members/ and workers/. A signal saves the
/// members and stops.
/// @return the exit code. @throws InvalidArgument, IoError; what the journal holds then can be
///   resumed.
int run_population(const PopulationOptions& options);

}  // namespace hecate::launcher
