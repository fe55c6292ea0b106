#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

/// A directory of checkpoints. Each is a directory `step-00001200` that appears by one rename when
/// it is complete. Hidden names are work in progress: `.tmp-step-…` is being written, `.del-step-…`
/// deleted, `.old-step-…` was moved away to be replaced by a new one of the same step. Every error
/// is an IoError.
namespace hecate::checkpoint {

/// "step-00001200".
std::string step_name(int64_t step);

/// "decayed-00001200": the second name of a checkpoint that is kept whatever is pruned.
std::string decayed_name(int64_t step);

struct CheckpointEntry {
  int64_t step = 0;
  std::filesystem::path path;
};

/// Newest first; nothing is opened. A directory that does not exist has none.
std::vector<CheckpointEntry> list_checkpoints(const std::filesystem::path& directory);

struct Latest {
  std::optional<CheckpointEntry> checkpoint;
  /// One line for each newer checkpoint that was skipped: its path and what is wrong with it.
  std::vector<std::string> warnings;
};

/// The newest checkpoint that verify() finds nothing wrong with. Reads every byte of it.
Latest find_latest(const std::filesystem::path& directory);

/// Every problem found, one line each with the file's name: missing, truncated or altered files, a
/// manifest of another format version, files of another step, incomplete tensors. Empty when the
/// checkpoint is whole. Reads every byte.
std::vector<std::string> verify(const std::filesystem::path& checkpoint);

/// Finishes or undoes what a crash interrupted. Call when nobody writes there.
void clean_leftovers(const std::filesystem::path& directory);

/// Makes the finished directory `aside` the checkpoint of `step`, replacing one of that step.
/// Durable.
void publish(const std::filesystem::path& directory, const std::filesystem::path& aside,
             int64_t step);

/// Deletes all but the newest `keep` of the checkpoints up to `newest_step`. Later ones are not
/// counted: they belong to a course that was left by going back.
void prune(const std::filesystem::path& directory, int64_t newest_step, int64_t keep);

/// Deletes checkpoints later than `step`: for a run that goes back to it and leaves that course.
void remove_after(const std::filesystem::path& directory, int64_t step);

/// Gives a checkpoint a second place, where it replaces what is there, by one rename. Files are
/// hard links (no file of a checkpoint is ever written again), copies where the file system has
/// none.
/// @param to in a directory of checkpoints, which exists.
void copy_checkpoint(const std::filesystem::path& from, const std::filesystem::path& to);

/// remove_all that reports failures.
void remove_tree(const std::filesystem::path& path);

}  // namespace hecate::checkpoint
