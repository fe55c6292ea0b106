#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace hecate::pbt {

/// A file of lines that only grows. What sync() has returned from survives a crash of the machine;
/// a last line that a crash tore is cut off when the file is opened again. One process at a time:
/// it holds a lock.
class Journal {
 public:
  /// Opens or creates. @throws IoError; InvalidArgument if another process has it.
  explicit Journal(std::filesystem::path path);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// The lines that were there when it was opened.
  const std::vector<std::string>& lines() const { return lines_; }

  /// Keeps a line for the next sync().
  void append(std::string_view line);
  /// Writes what was appended and waits until it is on disk. One call covers all lines since the
  /// last. After a failure nothing of them is in the file, and every later call fails too.
  /// @throws IoError with path and reason; a full disk is called that.
  void sync();

 private:
  std::filesystem::path path_;
  std::vector<std::string> lines_;
  std::string waiting_;
  int descriptor_ = -1;
  bool broken_ = false;
};

}  // namespace hecate::pbt
