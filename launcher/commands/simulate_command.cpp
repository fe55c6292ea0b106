#include <iostream>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/commands/settings_options.h"
#include "launcher/simulate/report.h"
#include "launcher/train/setup.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

struct Options {
  SettingsOptions settings;
  std::string cluster, loads = "even", timeline;
  int64_t devices = 8, steps = 4, warmup = 8;
  bool json = false, explain = false;
};

int run(const Options& options) {
  if (options.explain) {
    std::cout << explain_cluster_profile();
    return 0;
  }
  HECATE_CHECK(!options.cluster.empty(),
               "simulate: expected --cluster FILE, such as configs/clusters/dgx-h100.toml");
  SimulationOptions simulation;
  const RunConfig config = load_run_config(options.settings.settings(), {"data"});
  simulation.config = config.model.vocabulary > 0 ? config : with_vocabulary(config);
  simulation.cluster = load_cluster_profile(options.cluster);
  simulation.devices = static_cast<int>(options.devices);
  simulation.loads = options.loads;
  simulation.steps = options.steps;
  simulation.warmup = options.warmup;
  const SimulationResult result = simulate(simulation, options.timeline);
  std::cout << (options.json ? to_json(result) + "\n" : to_text(result)) << std::flush;
  return 0;
}

}  // namespace

void add_simulate_command(Command root) {
  Command command = root.command("simulate", "Predict a step on a cluster that is not there");
  const auto options = std::make_shared<Options>();
  options->settings.add_to(command, false);
  command.option("--cluster", options->cluster, "FILE", "profile of the cluster");
  command.option("--devices", options->devices, "N", "devices");
  command.option("--loads", options->loads, "LOADS",
                 "even, zipf:S, dirichlet:A or trace:FILE, then options such as ,drift=0.1");
  command.option("--steps", options->steps, "N", "steps that are simulated");
  command.option("--warmup", options->warmup, "N",
                 "steps before those, that load records and owners follow from");
  command.option("--timeline", options->timeline, "FILE", "gets the last step as a timeline");
  command.flag("--json", options->json, "prints one JSON object");
  command.flag("--explain", options->explain, "prints every key of a profile and ends");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
