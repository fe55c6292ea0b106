#pragma once
#include <string>

#include "collectives/communicator.h"

namespace hecate::launcher {

/// Compares what every rank was started with. All ranks must call.
/// @param config resolved, as config::print writes it. @param build version_text() and whatever
///   else must agree, "name: value" lines.
/// @throws InvalidArgument on every rank, naming the first key that differs with its values and
///   their ranks; CommError as every collective.
void check_same_start(const collectives::Communicator& communicator, const std::string& config,
                      const std::string& build);

}  // namespace hecate::launcher
