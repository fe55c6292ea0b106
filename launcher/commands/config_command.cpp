#include <iostream>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/commands/settings_options.h"

namespace hecate::launcher {
namespace {

struct Options {
  SettingsOptions settings;
  bool explain = false;
  bool keys = false;
};

int run(const Options& options) {
  RunConfig config;
  if (options.explain) {
    std::cout << config::explain(config::bind(config));
  } else if (options.keys) {
    std::cout << config::list_keys(config::bind(config));
  } else {
    // Without a file there is no data to speak of: a preset can be looked at all the same.
    const bool partial = options.settings.file.empty();
    config = load_run_config(options.settings.settings(), partial ? std::vector<std::string>{"data"}
                                                                  : std::vector<std::string>{});
    std::cout << config::to_toml(config);
  }
  return 0;
}

}  // namespace

void add_config_command(Command root) {
  Command command = root.command("config", "Check a configuration and print it resolved");
  const auto options = std::make_shared<Options>();
  options->settings.add_to(command, false);
  command.flag("--explain", options->explain, "every key with type, default, limits and meaning");
  command.flag("--keys", options->keys, "every key on a line, for scripts");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
