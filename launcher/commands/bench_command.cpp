#include <array>
#include <iostream>
#include <memory>
#include <sstream>

#include "launcher/bench/step_bench.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/settings_options.h"
#include "launcher/train/setup.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

struct Options {
  SettingsOptions settings;
  int64_t repeats = 15;
  std::string kernels;
};

int run(Options options) {
  HECATE_CHECK(options.repeats >= 1, "bench step: --repeats ", options.repeats, ", at least 1");
  if (options.settings.file.empty() && options.settings.preset.empty())
    options.settings.preset = "bench-step";
  // 2048 tokens a step unless told otherwise.
  options.settings.overrides.insert(options.settings.overrides.begin(),
                                    {"train.global_batch=4", "train.micro_batch=4"});
  const RunConfig config = load_run_config(options.settings.settings(), {"data"});
  HECATE_CHECK(config.model.vocabulary > 0, "bench step: model.vocabulary is 0");
  StepBenchOptions bench;
  bench.engine = engine_options(config);
  bench.repeats = options.repeats;
  if (options.kernels.empty()) {
    bench_step(bench, std::cout);
    return 0;
  }
  std::ostringstream profile;
  write_profile(bench, std::array<int64_t, 3>{1, 2, 4}, profile);
  io::write_file(options.kernels, profile.str());
  return 0;
}

}  // namespace

void add_bench_command(Command root) {
  Command bench = root.command("bench", "Measure this machine");
  Command step = bench.command("step", "whole training steps against the multiply-add rate");
  const auto options = std::make_shared<Options>();
  options->settings.add_to(step, false);
  step.option("--repeats", options->repeats, "N", "timed steps");
  step.option("--kernels", options->kernels, "FILE",
              "instead gets this machine's rates by kernel and rows, for hecate simulate");
  step.action([options] { return run(*options); });
  add_bench_collectives_command(bench);
  add_bench_plan_command(bench);
  add_bench_suite_commands(bench);
  add_bench_coordinates_command(bench);
}

}  // namespace hecate::launcher
