#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "launcher/commands/commands.h"
#include "launcher/run/logging.h"
#include "launcher/train/loaded_model.h"
#include "launcher/train/setup.h"
#include "launcher/train/training_state.h"

namespace hecate::launcher {
namespace {

struct Options {
  std::string model;
  std::string data;
  int64_t windows = 0;
};

int run(const Options& options) {
  start_logging({});
  LoadedModel model = open_model(options.model);
  if (!options.data.empty()) {
    model.config.data = {};
    model.config.data.path = options.data;
  }
  const data::Validation validation(model.config.data, model.config.model.vocabulary,
                                    model.config.model.sequence);
  Engine engine(engine_options(model.config));
  load_parameters(engine, checkpoint::Checkpoint(model.path));
  const EvaluationResult result =
      engine.evaluate(validation, static_cast<uint64_t>(options.windows));
  nlohmann::ordered_json line = {{"checkpoint", model.path.string()},
                                 {"step", model.step},
                                 {"eval_loss", result.loss},
                                 {"eval_targets", result.targets}};
  if (result.bits_per_byte > 0) line["bits_per_byte"] = result.bits_per_byte;
  std::cout << line.dump() << "\n";
  return 0;
}

}  // namespace

void add_eval_command(Command root) {
  Command command = root.command("eval", "Measure a checkpoint on held-out data");
  const auto options = std::make_shared<Options>();
  command.argument("CKPT", options->model, "checkpoint or run directory", true);
  command.option("--data", options->data, "PATH", "other data than the run's");
  command.option("--windows", options->windows, "N", "sequences to use; 0: all");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
