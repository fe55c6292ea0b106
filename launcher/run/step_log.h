#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace hecate::launcher {

/// steps.jsonl: one JSON object a line, each with an integer "step", never falling. An appended
/// line survives a crash of the process at once; a failed append leaves no half line.
class StepLog {
 public:
  /// Opens or creates the file for a run that continues after `step` (0: from the start): lines of
  /// later steps are dropped, as is a last line that a crash tore.
  /// @throws IoError; InvalidArgument naming file and line if a line before the last is malformed.
  StepLog(std::filesystem::path path, int64_t step);
  ~StepLog();
  StepLog(const StepLog&) = delete;
  StepLog& operator=(const StepLog&) = delete;

  /// @param line a JSON object without line breaks. @throws IoError (disk full: it says so).
  void append(std::string_view line);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace hecate::launcher
