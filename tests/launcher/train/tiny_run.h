#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "launcher/config/run_config.h"

namespace hecate::launcher {

/// A directory with a small prepared data set, removed at the end.
class TinyRun {
 public:
  TinyRun();
  ~TinyRun();
  TinyRun(const TinyRun&) = delete;
  TinyRun& operator=(const TinyRun&) = delete;

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path data() const { return root_ / "data"; }
  /// A model of two small layers over the data, complete; overrides are "key=value".
  RunConfig config(const std::vector<std::string>& overrides = {}) const;
  /// The same as a file for the program.
  std::filesystem::path config_file(const std::vector<std::string>& overrides = {}) const;
  /// Trains into root()/name. @return the losses in steps.jsonl, as they are written there.
  std::vector<std::string> train(const std::string& name, const std::vector<std::string>& overrides,
                                 bool resume = false) const;

 private:
  std::filesystem::path root_;
};

/// The text of every "loss" in a steps.jsonl.
std::vector<std::string> losses_in(const std::filesystem::path& steps);

}  // namespace hecate::launcher
