#include <iostream>
#include <memory>
#include <sstream>

#include "launcher/commands/commands.h"
#include "launcher/commands/settings_options.h"
#include "models/parameter_table.h"
#include "models/summary.h"

namespace hecate::launcher {
namespace {

struct Options {
  SettingsOptions settings;
  bool explain = false;
  bool keys = false;
  bool parameters = false;
};

// What the model costs, as comments, so that the output stays a configuration file.
void print_cost(const RunConfig& config) {
  if (config.model.vocabulary == 0) {
    std::cout << "\n# set model.vocabulary to see parameters, flops and memory\n";
    return;
  }
  const models::BatchShape batch{.sequences = config.train.sequences_at_once(),
                                 .sequence = config.model.sequence};
  std::istringstream text(
      models::to_text(config.model, models::summarize(config.model, config.router, batch), batch));
  std::cout << "\n";
  for (std::string line; std::getline(text, line);) std::cout << "# " << line << "\n";
}

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
    if (options.parameters) {
      std::cout << models::parameter_table(config.model, config.optimizer);
      return 0;
    }
    std::cout << config::to_toml(config);
    print_cost(config);
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
  command.flag("--parameters", options->parameters,
               "every parameter with shape, initial values, rate, multiplier and decay");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
