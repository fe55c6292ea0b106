#include <spdlog/spdlog.h>

#include <filesystem>
#include <iostream>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/commands/settings_options.h"
#include "launcher/run/logging.h"
#include "launcher/train/loaded_model.h"
#include "launcher/train/setup.h"
#include "launcher/train/trainer.h"

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;

struct Options {
  SettingsOptions settings;
  std::string run;
  bool resume = false;
  std::string trace;
};

// The configuration of a resumed run is its own, then the file's and the overrides'.
config::Settings settings_of(const Options& options) {
  if (!options.resume) return options.settings.settings();
  HECATE_CHECK(!options.run.empty(), "train --resume needs --run DIR, the run to continue");
  config::Settings settings;
  settings.add_file(options.settings.file.empty()
                        ? RunDirectory::open(options.run).config().string()
                        : options.settings.file);
  for (const std::string& assignment : options.settings.overrides)
    settings.add_override(assignment);
  return settings;
}

fs::path run_path(const Options& options) {
  if (!options.run.empty()) return options.run;
  const fs::path file = options.settings.file;
  return RunDirectory::fresh_path(file.empty() ? "train" : file.stem().string());
}

int report(const TrainSummary& summary, const RunDirectory& directory) {
  if (summary.interrupted) {
    std::cout << "stopped after step " << summary.step << "; continue with: hecate train --run "
              << directory.path().string() << " --resume\n";
    return 0;
  }
  std::cout << "run directory " << directory.path().string() << "\n";
  if (summary.evaluation) {
    std::cout << "held-out loss " << summary.evaluation->loss << " nats per token";
    if (summary.evaluation->bits_per_byte > 0)
      std::cout << ", " << summary.evaluation->bits_per_byte << " bits per byte";
    std::cout << "\n";
  }
  return 0;
}

int run(const Options& options) {
  start_logging({.rank = 0, .ranks = 1, .file = {}, .terminal = is_terminal(2), .level = "info"});
  const trace::StepRange traced =
      options.trace.empty() ? trace::StepRange{} : trace::parse_step_range(options.trace);
  const RunConfig config = with_vocabulary(load_run_config(settings_of(options)));
  const fs::path path = run_path(options);
  const RunDirectory directory = options.resume
                                     ? RunDirectory::open(path)
                                     : RunDirectory::create(path, config::to_toml(config));
  keep_tokenizer(config.data, directory.path());
  Trainer trainer(config, directory, options.resume);
  if (!options.trace.empty()) trainer.trace(traced);
  return report(trainer.run(), directory);
}

}  // namespace

void add_train_command(Command root) {
  Command command = root.command("train", "Train a model");
  const auto options = std::make_shared<Options>();
  options->settings.add_to(command, false);
  command.option("--run", options->run, "DIR", "run directory; default: runs/<date>-<name>");
  command.flag("--resume", options->resume, "continue from the newest valid checkpoint of --run");
  command.option("--trace", options->trace, "steps=A..B",
                 "writes a timeline of these steps' operations, for ui.perfetto.dev");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
