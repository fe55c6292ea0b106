#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "launcher/checkpoint/slice.h"

namespace hecate::checkpoint {

/// Hands `mine` to all ranks and returns every rank's text in rank order; returns on no rank before
/// all have called. Called from the writer's background thread, so it needs a communicator of its
/// own; all ranks call it equally often, in the same order. May throw (a peer is gone): the save
/// then fails.
using Gather = std::function<std::vector<std::string>(const std::string& mine)>;

struct WriterOptions {
  std::filesystem::path directory;              ///< of all checkpoints; the same one for every rank
  int64_t keep = 3;                             ///< newest checkpoints kept, at least 1
  uint64_t max_file_bytes = uint64_t{4} << 30;  ///< a rank's boxes are split into files up to this
  int rank = 0;
  int ranks = 1;
  Gather gather = {};  ///< needed if ranks > 1
};

/// What one rank contributes. `extra` and the numbers count on rank 0; the boxes of all ranks
/// together must hold every element of every tensor exactly once.
struct Snapshot {
  int64_t step = 0;
  int64_t tokens = 0;
  std::string identity;
  std::string extra = "{}";  ///< a JSON object; NaN and infinity do not survive JSON
  std::vector<TensorSlice> slices;
};

/// A finished save.
struct SaveReport {
  int64_t step = 0;
  std::filesystem::path path;
  uint64_t bytes = 0;          ///< of this rank's files
  double staging_seconds = 0;  ///< save() itself: waiting for the one before, and copying
  double write_seconds = 0;    ///< in the background
  std::string warning;         ///< not empty if old checkpoints could not be deleted
};

/// Writes checkpoints in the background. Every rank writes its own files into `.tmp-step-…`; when
/// all are on disk rank 0 adds the manifest and renames the directory, so a crash at any moment
/// leaves the old checkpoints as they were. One thread drives the object.
class CheckpointWriter {
 public:
  /// Rank 0 creates the directory and clears what a crashed writer left there.
  /// @throws InvalidArgument for impossible options, IoError if the directory cannot be used.
  explicit CheckpointWriter(WriterOptions options);
  /// Finishes the save under way; logs its error if there is one.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Copies the boxes and returns; they may be overwritten at once. Waits first if a save is still
  /// under way. All ranks must call, with the same step. The copy's memory is kept for the next.
  /// @throws the error of the save before unless poll() threw it (nothing is started then: a
  /// program
  ///   of several ranks that goes on after an error calls wait() on all of them first);
  ///   InvalidArgument if a box does
  ///   not lie in its tensor or `extra` is no JSON object.
  void save(const Snapshot& snapshot);
  /// The same without a copy: `owner` keeps the boxes alive and unchanged until they are written.
  void save(Snapshot snapshot, std::shared_ptr<const void> owner);

  bool busy() const;
  /// Saves finished since the last call, oldest first.
  /// @throws the error of a failed one, once: IoError or CommError, the same on every rank that
  ///   could be told. The older checkpoints are whole.
  std::vector<SaveReport> poll();
  /// poll() after the save under way has ended: at the end of a run.
  std::vector<SaveReport> wait();

  /// Memory held for copies.
  size_t staging_bytes() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hecate::checkpoint
