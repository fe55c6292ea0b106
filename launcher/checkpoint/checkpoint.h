#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/checkpoint/manifest.h"

namespace hecate::checkpoint {

/// A checkpoint on disk. Opening reads the manifest alone; load() maps the files it needs. Data
/// checksums are verify()'s business, once per resume rather than once per rank. May be used from
/// several threads at once.
class Checkpoint {
 public:
  /// @throws IoError if there is no manifest, InvalidArgument if it is malformed, altered, of
  ///   another format version, or describes incomplete tensors.
  explicit Checkpoint(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  int64_t step() const { return manifest_.step; }
  int64_t tokens() const { return manifest_.tokens; }
  const std::string& identity() const { return manifest_.identity; }
  /// The JSON object given to save(): counters, seeds, histories.
  const std::string& extra() const { return manifest_.extra; }
  std::span<const TensorRecord> tensors() const { return manifest_.tensors; }
  /// Null when there is none.
  const TensorRecord* find(Kind kind, std::string_view name) const;

  /// Fills every target from whatever boxes the files hold, bit for bit, whatever the slicing was
  /// on either side. Targets are written in unspecified order; after an exception their content is
  /// unspecified.
  /// @throws InvalidArgument naming the tensor, what was expected and what was found, if it is
  ///   absent or of another dtype or shape, or the file if it is truncated or of another step;
  ///   IoError naming a file that is missing.
  void load(std::span<const TargetSlice> targets) const;

 private:
  const TensorRecord& matching(const Slice& wanted) const;

  std::filesystem::path path_;
  Manifest manifest_;
};

}  // namespace hecate::checkpoint
