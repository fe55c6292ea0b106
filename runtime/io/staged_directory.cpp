#include "runtime/io/staged_directory.h"

#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::io {
namespace {

namespace fs = std::filesystem;

// "data/" and "data" are the same directory, but not with a suffix appended.
fs::path without_slash(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw io_error(path, "remove", error.value());
}

}  // namespace

StagedDirectory::StagedDirectory(const fs::path& target)
    : target_(without_slash(target)), path_(target_.string() + ".partial") {
  remove_tree(path_);
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) throw io_error(path_, "create directory", error.value());
}

StagedDirectory::~StagedDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void StagedDirectory::publish() {
  sync_directory(path_);
  // A rename replaces an empty directory only; the name stays free for an instant.
  remove_tree(target_);
  rename_path(path_, target_);
  sync_directory(fs::absolute(target_).parent_path());
}

void require_free(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return;  // what cannot be looked at cannot be made either: said then
  HECATE_CHECK(fs::is_directory(status), path.string(), ": exists and is not a directory");
  const bool empty = fs::is_empty(path, error);
  if (error) throw io_error(path, "list", error.value());
  HECATE_CHECK(empty, path.string(), ": exists and is not empty");
}

}  // namespace hecate::io
