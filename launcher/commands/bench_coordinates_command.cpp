#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "launcher/bench/coordinate_plot.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/settings_options.h"

namespace hecate::launcher {
namespace {

struct Options {
  SettingsOptions settings;
  int64_t widest = 8, seeds = 5, steps = 10, sequences = 4;
  double rate = 0.01;
  bool same_experts = false;
  std::string plot, json;
};

CoordinateOptions check_options(Options options) {
  HECATE_CHECK(options.widest >= 2, "bench coordinates: --widest ", options.widest, ", at least 2");
  HECATE_CHECK(options.sequences >= 1, "bench coordinates: --sequences ", options.sequences,
               ", at least 1");
  // A small model unless told otherwise.
  if (options.settings.file.empty() && options.settings.preset.empty())
    options.settings.overrides.insert(
        options.settings.overrides.begin(),
        {"model.layers=2", "model.d_model=64", "model.heads=4", "model.expert_hidden=64",
         "model.experts=4", "model.sequence=32", "model.vocabulary=16"});
  const RunConfig config = load_run_config(options.settings.settings(), {"data"});
  CoordinateOptions check;
  check.model = config.model;
  check.router = config.router;
  check.optimizer = config.optimizer;
  check.wide_experts = !options.same_experts;
  check.widths.clear();
  for (int64_t width = 1; width <= options.widest; width *= 2) check.widths.push_back(width);
  check.seeds = options.seeds;
  check.steps = options.steps;
  check.sequences = options.sequences;
  check.rate = options.rate;
  return check;
}

void write(const std::string& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  if (!out.flush()) throw IoError(concat("bench coordinates: cannot write ", path));
}

// One line per width and coordinate.
std::string json_lines(const CoordinateCheck& check, bool mup) {
  std::string lines;
  for (size_t c = 0; c < kCoordinates; ++c)
    for (size_t w = 0; w < check.widths.size(); ++w)
      lines += nlohmann::json({{"mup", mup},
                               {"coordinate", name_of(static_cast<Coordinate>(c))},
                               {"width", check.widths[w]},
                               {"by_step", check.values[c][w]}})
                   .dump() +
               "\n";
  return lines;
}

int run(const Options& options) {
  CoordinateOptions check = check_options(options);
  const CoordinateCheck with = check_coordinates(check);
  check.mup = false;
  const CoordinateCheck without = check_coordinates(check);
  std::cout << coordinate_text(with, without);
  if (!options.plot.empty()) write(options.plot, coordinate_plot(with, without));
  if (!options.json.empty())
    write(options.json, json_lines(with, true) + json_lines(without, false));
  return 0;
}

}  // namespace

void add_bench_coordinates_command(Command bench) {
  Command command = bench.command("coordinates",
                                  "whether a wider model keeps its activations' size, as muP says");
  const auto options = std::make_shared<Options>();
  options->settings.add_to(command, false);
  command.option("--widest", options->widest, "N", "widths are 1, 2, 4, ... N times the model's");
  command.option("--seeds", options->seeds, "N", "runs of each width");
  command.option("--steps", options->steps, "N", "updates of a run");
  command.option("--sequences", options->sequences, "N", "in the batch");
  command.option("--rate", options->rate, "R", "the learning rate of the narrowest");
  command.flag("--same-experts", options->same_experts, "experts are not made wider");
  command.option("--plot", options->plot, "FILE", "picture to write (SVG)");
  command.option("--json", options->json, "FILE", "values to write, a JSON object per line");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
