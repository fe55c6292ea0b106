#include <cstdio>
#include <memory>
#include <string>

#include "launcher/bench/plan_study.h"
#include "launcher/commands/commands.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

struct Options {
  std::string loads = "dirichlet:0.3:burst";
  std::string cluster = "a";
  std::string objective = "balance";
  int64_t per_node = 8;
  int64_t t = 8;
  int64_t m = 2;
  int64_t reshard_every = 10;
  int64_t stride = 1;
  int64_t samples = 100;
  int64_t window = 5;
  bool hindsight = false;
};

LoadSamples loads_of(const Options& options) {
  if (options.loads.ends_with(".npy")) return read_load_samples(options.loads);
  constexpr int kLayers = 4, kDevices = 16, kExperts = 32, kRows = 4096;
  return synthetic_loads(options.loads, static_cast<int>(options.samples), kLayers, kDevices,
                         kExperts, kRows, 1);
}

// Share of layers above, and the worst ratio.
void print_against(const std::vector<StudyFigure>& figures, const std::vector<StudyFigure>& paper) {
  int above = 0, near = 0;
  double worst = 0;
  for (size_t i = 0; i < figures.size(); ++i) {
    const double ratio = figures[i].time.total() / paper[i].time.total();
    worst = std::max(worst, ratio);
    above += ratio > 1 + 1e-9 ? 1 : 0;
    near += figures[i].time.total() <= 1.1 * figures[i].bound.seconds ? 1 : 0;
  }
  const auto count = static_cast<double>(figures.size());
  std::printf(
      "balanced takes longer than paper in %d of %zu layers, at most %.3f times as long; within "
      "1.10 "
      "of the bound in %.1f %%\n",
      above, figures.size(), worst, 100 * near / count);
}

void print_row(const char* name, const std::vector<StudyFigure>& figures) {
  const Spread balance = spread(figures, [](const auto& f) { return f.balance; });
  const Spread ratio =
      spread(figures, [](const auto& f) { return f.time.total() / f.bound.seconds; });
  const Spread any =
      spread(figures, [](const auto& f) { return f.time.total() / f.bound_any_owner; });
  double seconds = 0, crossing = 0, added = 0, corrected = 0;
  for (const StudyFigure& f : figures) {
    seconds += f.time.total();
    crossing += static_cast<double>(f.crossing_rows) / f.mean_rows;
    added += f.added;
    corrected += f.correction_seconds;
  }
  const auto count = static_cast<double>(figures.size());
  std::printf("%-10s %7.3f %7.3f %7.3f   %7.3f %7.3f %7.3f   %7.3f %7.3f %9.3f %9.3f %8.3f %8.4f\n",
              name, balance.median, balance.p90, balance.worst, ratio.median, ratio.p90,
              ratio.worst, any.median, any.p90, 1e3 * seconds / count, crossing / count,
              added / count, 1e3 * corrected / count);
}

int run(const Options& options) {
  const LoadSamples loads = loads_of(options);
  StudyOptions study_options;
  study_options.t = static_cast<int>(options.t);
  study_options.m = static_cast<int>(options.m);
  study_options.stride = static_cast<int>(options.stride);
  study_options.model = sharding::balanced::model_hiding(
      study_cost(options.cluster, loads.sources, static_cast<int>(options.per_node)),
      study_options.t, sharding::balanced::objective(options.objective));
  study_options.hindsight = options.hindsight;
  study_options.window = options.hindsight ? 1 : static_cast<int>(options.window);
  std::printf(
      "%-10s %23s   %23s   %15s %9s %9s %8s %8s\n%-10s %7s %7s %7s   %7s %7s %7s   %7s %7s %9s %9s "
      "%8s %8s\n",
      "", "busiest device / mean", "time / bound", "/ any owners", "", "", "", "", "planner",
      "median", "p90", "worst", "median", "p90", "worst", "median", "p90", "mean ms", "crossing",
      "copies", "ms");
  std::vector<StudyFigure> paper;
  for (const char* planner : {"ep", "paper", "balanced"}) {
    study_options.planner = planner;
    study_options.reshard_every =
        study_options.planner == "balanced" ? static_cast<int>(options.reshard_every) : 0;
    const std::vector<StudyFigure> figures = study(loads, study_options);
    print_row(planner, figures);
    if (study_options.planner == "paper") paper = figures;
    if (study_options.planner == "balanced") print_against(figures, paper);
  }
  return 0;
}

}  // namespace

void add_bench_plan_command(Command bench) {
  Command command = bench.command("plan", "planners on loads that they forecast from the past");
  const auto options = std::make_shared<Options>();
  command.option("--loads", options->loads, "LOADS",
                 "a load trace (.npy), or zipf:S, dirichlet:A, with :burst behind");
  command.option("--cluster", options->cluster, "NAME", "a or b, of arXiv 2502.02581");
  command.option("--objective", options->objective, "NAME", "time or balance");
  command.option("--per-node", options->per_node, "N", "devices of a node");
  command.option("--overlap", options->t, "T", "experts that are gathered under other work");
  command.option("--slots", options->m, "M", "extra experts per device");
  command.option("--reshard-every", options->reshard_every, "N",
                 "samples between new owners of balanced");
  command.option("--stride", options->stride, "N", "every how many samples a figure is taken");
  command.option("--window", options->window, "N", "samples that a forecast is the mean of");
  command.flag("--hindsight", options->hindsight, "forecasts are the truth: what misses cost");
  command.option("--samples", options->samples, "N", "of loads that are drawn");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
