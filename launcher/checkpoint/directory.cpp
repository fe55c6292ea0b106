#include "launcher/checkpoint/directory.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <string_view>

#include "runtime/io/file.h"

namespace hecate::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTemporary = ".tmp-";
constexpr std::string_view kDeleted = ".del-";
constexpr std::string_view kReplaced = ".old-";
constexpr std::string_view kStep = "step-";

std::optional<int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kStep)) return std::nullopt;
  name.remove_prefix(kStep.size());
  int64_t step = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), step);
  const bool whole = parsed.ec == std::errc{} && parsed.ptr == name.data() + name.size();
  return whole && step >= 0 ? std::optional(step) : std::nullopt;
}

std::vector<fs::path> children(const fs::path& directory) {
  std::vector<fs::path> paths;
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error))
    paths.push_back(entry->path());
  if (error && error != std::errc::no_such_file_or_directory)
    throw io::io_error(directory, "list", error.value());
  return paths;
}

bool path_exists(const fs::path& path) {
  std::error_code error;
  const bool found = fs::exists(path, error);
  if (error) throw io::io_error(path, "look up", error.value());
  return found;
}

fs::path hidden(const fs::path& directory, std::string_view prefix, int64_t step) {
  return directory / concat(prefix, step_name(step));
}

/// Deletes so that a crash halfway leaves nothing that looks like a checkpoint.
void remove_checkpoint(const fs::path& directory, const CheckpointEntry& entry) {
  const fs::path trash = hidden(directory, kDeleted, entry.step);
  remove_tree(trash);
  io::rename_path(entry.path, trash);
  remove_tree(trash);
}

}  // namespace

std::string step_name(int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(step));
  return name;
}

std::string decayed_name(int64_t step) {
  return "decayed-" + step_name(step).substr(kStep.size());
}

std::vector<CheckpointEntry> list_checkpoints(const fs::path& directory) {
  std::map<int64_t, fs::path> found;
  for (const fs::path& path : children(directory)) {
    const std::string name = path.filename().string();
    if (const auto step = step_of(name)) found[*step] = path;
    // A crash between the two renames of a replacement leaves only the replaced one.
    if (name.starts_with(kReplaced))
      if (const auto step = step_of(std::string_view(name).substr(kReplaced.size())))
        found.emplace(*step, path);
  }
  std::vector<CheckpointEntry> entries;
  for (auto& [step, path] : found) entries.push_back({step, std::move(path)});
  std::reverse(entries.begin(), entries.end());
  return entries;
}

Latest find_latest(const fs::path& directory) {
  Latest latest;
  for (CheckpointEntry& entry : list_checkpoints(directory)) {
    const auto problems = verify(entry.path);
    if (problems.empty()) {
      latest.checkpoint = std::move(entry);
      break;
    }
    const std::string more =
        problems.size() > 1 ? concat(" (and ", problems.size() - 1, " more problems)") : "";
    latest.warnings.push_back(
        concat("checkpoint ", entry.path.string(), " skipped: ", problems.front(), more));
  }
  return latest;
}

void clean_leftovers(const fs::path& directory) {
  for (const fs::path& path : children(directory)) {
    const std::string name = path.filename().string();
    if (name.starts_with(kReplaced)) {
      const fs::path original = directory / name.substr(kReplaced.size());
      path_exists(original) ? remove_tree(path) : io::rename_path(path, original);
    }
    if (name.starts_with(kTemporary) || name.starts_with(kDeleted)) remove_tree(path);
  }
}

void publish(const fs::path& directory, const fs::path& aside, int64_t step) {
  const fs::path final_path = directory / step_name(step);
  const fs::path replaced = hidden(directory, kReplaced, step);
  const bool replace = path_exists(final_path);
  if (replace) {
    remove_tree(replaced);
    io::rename_path(final_path, replaced);
  }
  io::rename_path(aside, final_path);
  io::sync_directory(directory);
  if (replace) remove_tree(replaced);
}

void prune(const fs::path& directory, int64_t newest_step, int64_t keep) {
  int64_t seen = 0;
  for (const CheckpointEntry& entry : list_checkpoints(directory))
    if (entry.step <= newest_step && ++seen > keep) remove_checkpoint(directory, entry);
}

void remove_after(const fs::path& directory, int64_t step) {
  for (const CheckpointEntry& entry : list_checkpoints(directory))
    if (entry.step > step) remove_checkpoint(directory, entry);
}

void copy_checkpoint(const fs::path& from, const fs::path& to) {
  const fs::path aside = to.parent_path() / (std::string(kTemporary) + to.filename().string());
  remove_tree(aside);
  std::error_code error;
  fs::create_directory(aside, error);
  if (error) throw io::io_error(aside, "create directory", error.value());
  for (const fs::path& file : children(from)) {
    fs::create_hard_link(file, aside / file.filename(), error);
    if (error) fs::copy_file(file, aside / file.filename(), error);
    if (error) throw io::io_error(file, "copy", error.value());
  }
  io::sync_directory(aside);
  remove_tree(to);
  io::rename_path(aside, to);
  io::sync_directory(to.parent_path());
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw io::io_error(path, "delete", error.value());
}

}  // namespace hecate::checkpoint
