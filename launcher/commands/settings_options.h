#pragma once
#include <string>
#include <vector>

#include "launcher/cli/command_line.h"
#include "launcher/config/run_config.h"

namespace hecate::launcher {

/// `[FILE] [--preset NAME] [--set KEY=VALUE]...`: how every command that takes a configuration
/// takes it.
struct SettingsOptions {
  std::string file;
  std::string preset;
  std::vector<std::string> overrides;

  /// Declares the options; the object must live until the command has run.
  void add_to(Command& command, bool file_required);
  /// Reads the file; `--preset` counts as an override of model.preset before those of `--set`.
  config::Settings settings() const;
};

}  // namespace hecate::launcher
