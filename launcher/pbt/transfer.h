#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "scheduler/pbt/frame.h"

/// Checkpoints through a worker's connection, for workers that do not see the population's disk.
namespace hecate::launcher {

/// Asks the controller: JSON text without id, bytes along with it.
using Ask = std::function<pbt::Message(const std::string& text, const std::string& blob)>;

/// A lease in messages.
struct LeaseOf {
  int member = 0;
  int64_t lease = 0;
};

/// Brings the newest checkpoint of the leased member into `checkpoints`, whole and checked, unless
/// it is there; later ones there are removed. Does nothing for a member without one.
/// @throws IoError, also for what the controller says is wrong.
void download_checkpoint(const Ask& ask, const LeaseOf& lease,
                         const std::filesystem::path& checkpoints);

/// Sends the checkpoint of `step` to the controller. @throws IoError.
void upload_checkpoint(const Ask& ask, const LeaseOf& lease,
                       const std::filesystem::path& checkpoints, int64_t step);

}  // namespace hecate::launcher
