#pragma once
#include <filesystem>

namespace hecate::io {

/// A directory that appears at its place by one rename when it is complete: made empty beside it as
/// NAME.partial, removed again unless published. One writer per path at a time.
class StagedDirectory {
 public:
  /// Clears what a crashed writer left. @throws IoError
  explicit StagedDirectory(const std::filesystem::path& target);
  ~StagedDirectory();
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;

  /// Where the content goes until publish().
  const std::filesystem::path& path() const { return path_; }

  /// Moves it to its place, durably. A directory that is there is deleted with all it holds: the
  /// caller has made sure that it may be. @throws IoError
  void publish();

 private:
  std::filesystem::path target_, path_;
};

/// @throws InvalidArgument unless `path` is free or an empty directory.
void require_free(const std::filesystem::path& path);

}  // namespace hecate::io
