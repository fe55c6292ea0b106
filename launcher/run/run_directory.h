#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace hecate::launcher {

/// Where a run keeps everything: config.toml (resolved), steps.jsonl, checkpoints/, logs/,
/// timeline/, loads.npy (the load trace).
class RunDirectory {
 public:
  /// "runs/20260131-174500-NAME", local time, with "-2", "-3", ... while it exists.
  static std::filesystem::path fresh_path(std::string_view name);

  /// Makes the directory and writes the resolved configuration. One process per run calls it.
  /// @throws InvalidArgument if it holds a run already, or anything else but flight(); IoError with
  /// path and
  ///   reason if it cannot be made or written.
  static RunDirectory create(const std::filesystem::path& path, std::string_view config_toml);

  /// A directory that create() made. @throws InvalidArgument saying what is missing.
  static RunDirectory open(const std::filesystem::path& path);

  /// Deletes the directory that create() made, with all that was put there since: for a run that
  /// was refused before its first step. What cannot be deleted stays.
  void discard() const noexcept;

  /// For the other ranks of a run whose first rank made it: no check, no access.
  static RunDirectory at(const std::filesystem::path& path) { return RunDirectory(path); }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.toml"; }
  std::filesystem::path steps() const { return path_ / "steps.jsonl"; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path load_trace() const { return path_ / "loads.npy"; }
  /// What ranks did last before they lost each other.
  std::filesystem::path flight() const;
  std::filesystem::path log(int rank) const;
  std::filesystem::path timeline(int rank) const;

 private:
  explicit RunDirectory(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
};

}  // namespace hecate::launcher
