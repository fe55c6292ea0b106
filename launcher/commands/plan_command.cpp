#include <memory>

#include "launcher/commands/answer.h"
#include "launcher/commands/commands.h"
#include "launcher/plan/cases.h"
#include "launcher/plan/run_plan.h"
#include "launcher/train/setup.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

struct Options {
  std::string cases, out, config;
  std::vector<std::string> overrides;
  int64_t ranks = 1;
  double load_factor = 1.5;
};

std::string answer(const Options& options) {
  if (!options.cases.empty()) return plan_cases(io::read_file(options.cases), options.cases);
  config::Settings settings;
  settings.add_file(options.config);
  for (const std::string& each : options.overrides) settings.add_override(each);
  const RunConfig config = load_run_config(settings, {"data"});
  HECATE_CHECK(config.model.vocabulary > 0 || !config.data.path.empty(),
               "plan: model.vocabulary is 0 and no data gives it");
  return plan_run(config.model.vocabulary > 0 ? config : with_vocabulary(config),
                  {.ranks = static_cast<int>(options.ranks), .load_factor = options.load_factor});
}

int run(const Options& options) {
  HECATE_CHECK(options.cases.empty() != options.config.empty(),
               "plan: expected either --cases FILE or --config FILE");
  write_answer(answer(options), options.out);
  return 0;
}

}  // namespace

void add_plan_command(Command root) {
  Command command = root.command("plan", "Predict a run's memory and step; work out placements");
  const auto options = std::make_shared<Options>();
  command.option("--cases", options->cases, "FILE",
                 "placement cases as JSON: algorithm1, algorithm2, smartmoe, fastermoe, eplb, "
                 "flexmoe, laer, balanced");
  command.option("--config", options->config, "FILE",
                 "a run's configuration: memory of each rank, t, m and the step are predicted");
  command.option("--set", options->overrides, "KEY=VALUE", "sets one key of the configuration");
  command.option("--ranks", options->ranks, "N", "ranks that the run would have");
  command.option("--load-factor", options->load_factor, "F",
                 "rows of the busiest rank over the mean that memory must hold");
  command.option("--out", options->out, "FILE", "where the answer goes; else to standard output");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
