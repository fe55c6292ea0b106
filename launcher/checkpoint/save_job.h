#pragma once
#include "launcher/checkpoint/manifest.h"
#include "launcher/checkpoint/writer.h"

namespace hecate::checkpoint {

/// Writes one checkpoint from beginning to end; runs on the writer's thread.
/// @throws as CheckpointWriter::poll.
SaveReport run_save(const WriterOptions& options, const Snapshot& snapshot);

}  // namespace hecate::checkpoint
