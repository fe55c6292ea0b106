#include "launcher/commands/settings_options.h"

namespace hecate::launcher {

void SettingsOptions::add_to(Command& command, bool file_required) {
  command.argument("file", file, "configuration file (TOML)", file_required);
  command.option("--preset", preset, "NAME", "model whose values are the defaults of [model]");
  command.option("--set", overrides, "KEY=VALUE",
                 "sets one key, such as model.layers=12; may be repeated");
}

config::Settings SettingsOptions::settings() const {
  config::Settings settings;
  if (!file.empty()) settings.add_file(file);
  if (!preset.empty()) settings.add_override("model.preset=" + preset);
  for (const std::string& each : overrides) settings.add_override(each);
  return settings;
}

}  // namespace hecate::launcher
