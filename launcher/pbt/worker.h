#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "launcher/train/job.h"

namespace hecate::launcher {

/// `hecate train --pbt`: a worker of a population.
struct WorkerOptions {
  std::string controller;  ///< HOST:PORT
  std::string name;        ///< empty: host and process
  /// Where members are kept whose weights come and go through the connection. Empty: they do so
  /// only if this worker does not see the population's directory, under runs/.
  std::filesystem::path scratch;
  /// Over the controller's configuration: what is this worker's own business (strategy, device).
  std::string file;
  std::vector<std::string> overrides;
};

/// Trains members as the controller says until there are no more, or a signal came: the member is
/// saved and given back then. All ranks of the job must call; they are one worker.
/// @return the exit code. @throws InvalidArgument when the controller refuses the worker, or its
///   own configuration changes the model or its data; CommError when the controller or a rank of
///   the job is gone.
int run_worker(const WorkerOptions& options, const Job& job);

}  // namespace hecate::launcher
