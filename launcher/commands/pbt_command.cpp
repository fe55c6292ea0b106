#include <cstdlib>
#include <filesystem>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/commands/settings_options.h"
#include "launcher/pbt/run.h"
#include "launcher/run/logging.h"
#include "launcher/run/progress_line.h"
#include "launcher/run/run_directory.h"
#include "launcher/train/setup.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

struct Options {
  SettingsOptions settings;
  std::string run, listen;
  bool resume = false;
};

config::Settings settings_of(const Options& options) {
  if (!options.resume) return options.settings.settings();
  HECATE_CHECK(!options.run.empty(), "pbt --resume needs --run DIR, the population to continue");
  config::Settings settings;
  settings.add_file(RunDirectory::open(options.run).config());
  for (const std::string& each : options.settings.overrides) settings.add_override(each);
  return settings;
}

int run(const Options& options) {
  start_logging({.terminal = is_terminal(2)});
  PopulationOptions population;
  population.config = with_vocabulary(load_run_config(settings_of(options)));
  check_population(population.config);
  const std::filesystem::path file = options.settings.file;
  population.run = !options.run.empty()
                       ? std::filesystem::path(options.run)
                       : RunDirectory::fresh_path(file.empty() ? "pbt" : file.stem().string());
  population.resume = options.resume;
  population.listen = options.listen;
  const char* token = std::getenv("HECATE_PBT_TOKEN");
  population.token = token == nullptr ? "" : token;
  return run_population(population);
}

}  // namespace

void add_pbt_command(Command root) {
  Command command =
      root.command("pbt", "Train a population that searches its hyper-parameters as it trains");
  const auto options = std::make_shared<Options>();
  options->settings.add_to(command, false);
  command.option("--run", options->run, "DIR", "run directory; default: runs/<date>-<name>");
  command.flag("--resume", options->resume, "continue the population in --run");
  command.option("--listen", options->listen, "HOST:PORT",
                 "where workers connect; default: a free port of this machine alone. Others need "
                 "the secret HECATE_PBT_TOKEN in the environment of controller and workers");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
