#pragma once
#include <filesystem>
#include <memory>

#include "launcher/config/run_config.h"
#include "launcher/train/training_state.h"
#include "runtime/data/tokenizer.h"

namespace hecate::launcher {

/// A trained model read back from disk.
struct LoadedModel {
  std::filesystem::path path;  ///< of the checkpoint
  int64_t step = 0;
  RunConfig config;
};

/// @param path a checkpoint, a directory of checkpoints, or a run directory (its newest valid
///   checkpoint). @throws IoError or InvalidArgument saying what was looked for, or what is wrong
///   with the checkpoint that was named.
LoadedModel open_model(const std::filesystem::path& path);

/// The tokenizer that a run keeps beside its checkpoints; null if it has none.
std::unique_ptr<data::Tokenizer> kept_tokenizer(const LoadedModel& model);

/// The tokenizer that a run keeps beside its checkpoints, else that of the run's data.
/// @throws IoError saying where it was looked for.
std::unique_ptr<data::Tokenizer> open_tokenizer(const LoadedModel& model);

/// Copies the data's tokenizer into a run directory, so that its checkpoints stay usable without
/// the data. Does nothing for data without a tokenizer.
void keep_tokenizer(const data::DataConfig& data, const std::filesystem::path& run);

}  // namespace hecate::launcher
