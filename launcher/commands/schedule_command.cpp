#include <algorithm>
#include <memory>
#include <sstream>

#include "launcher/commands/answer.h"
#include "launcher/commands/commands.h"
#include "launcher/config/run_config.h"
#include "launcher/schedule/cases.h"
#include "launcher/schedule/curves.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "scheduler/length.h"
#include "scheduler/run_schedule.h"

namespace hecate::launcher {
namespace {

using scheduler::RunSchedule;

constexpr int kSamples = 600;

struct Options {
  std::vector<std::string> configs, overrides;
  std::string plot, at, cases, out;
};

struct Named {
  std::string name;
  std::string kind;
  RunSchedule schedule;
};

std::vector<Named> open_schedules(const Options& options) {
  std::vector<Named> all;
  for (const std::string& file : options.configs) {
    config::Settings settings;
    settings.add_file(file);
    for (const std::string& each : options.overrides) settings.add_override(each);
    const RunConfig config = load_run_config(settings, {"data"});
    all.push_back({file, config.schedule.kind, RunSchedule(config.schedule, config.run_length())});
  }
  return all;
}

// Just before and at its jumps, a rate has two values.
Curve curve_of(const Named& named) {
  constexpr double kJustBefore = 1 - 1e-9;
  const auto total = static_cast<double>(named.schedule.run().tokens());
  std::vector<double> places;
  for (int i = 0; i <= kSamples; ++i) places.push_back(total * i / kSamples);
  for (const double step : named.schedule.end_steps()) {
    const double tokens = named.schedule.run().tokens_at(step);
    places.push_back(tokens * kJustBefore);
    places.push_back(tokens);
  }
  std::ranges::sort(places);
  Curve curve{.name = concat(named.name, " (", named.kind, ")"), .points = {}};
  for (const double place : places)
    curve.points.emplace_back(place, named.schedule.rate_at_tokens(place));
  return curve;
}

Chart chart_of(const std::vector<Named>& all) {
  Chart chart{.title = "learning rate", .x_label = "tokens", .y_label = "rate", .curves = {}};
  for (const Named& named : all) chart.curves.push_back(curve_of(named));
  return chart;
}

double tokens_of(const std::string& text, const scheduler::RunLength& run) {
  using Unit = scheduler::Length::Unit;
  const scheduler::Length length = scheduler::parse_length("--at", text, Unit::tokens);
  if (length.unit == Unit::steps) return run.tokens_at(length.value);
  return length.unit == Unit::share ? length.value * static_cast<double>(run.tokens())
                                    : length.value;
}

std::string table(const std::vector<Named>& all, const std::string& at) {
  std::ostringstream out;
  out.precision(12);
  out << "tokens";
  for (const Named& named : all) out << '\t' << named.name;
  out << '\n';
  std::istringstream list(at);
  for (std::string text; std::getline(list, text, ',');) {
    const double tokens = tokens_of(text, all.front().schedule.run());
    out << tokens;
    for (const Named& named : all)
      out << '\t' << config::shortest(named.schedule.rate_at_tokens(tokens));
    out << '\n';
  }
  return out.str();
}

std::string summary(const Named& named) {
  const RunSchedule& schedule = named.schedule;
  std::ostringstream out;
  out << named.name << ": " << named.kind << " over " << schedule.run().steps() << " steps, "
      << short_number(static_cast<double>(schedule.run().tokens())) << " tokens";
  const std::vector<double> ends = schedule.end_steps();
  for (size_t i = 0; i < ends.size(); ++i)
    out << (i == 0 ? "; end points at steps " : ", ") << ends[i];
  if (!ends.empty() && ends.back() < static_cast<double>(schedule.run().steps()))
    out << "; the floor from there on";
  return out.str() + "\n";
}

std::string answer(const Options& options) {
  if (!options.cases.empty()) return schedule_cases(io::read_file(options.cases), options.cases);
  const std::vector<Named> all = open_schedules(options);
  if (!options.plot.empty()) io::write_file(options.plot, to_svg(chart_of(all)));
  if (!options.at.empty()) return table(all, options.at);
  std::string text;
  for (const Named& named : all) text += summary(named);
  return text + to_ascii(chart_of(all));
}

int run(const Options& options) {
  HECATE_CHECK(options.cases.empty() != options.configs.empty(),
               "schedule: expected either --config FILE or --cases FILE");
  HECATE_CHECK(options.cases.empty() || (options.plot.empty() && options.at.empty()),
               "schedule: --plot and --at need --config FILE, not --cases");
  write_answer(answer(options), options.out);
  return 0;
}

}  // namespace

void add_schedule_command(Command root) {
  Command command = root.command("schedule", "Plot a run's learning rate; print it at points");
  const auto options = std::make_shared<Options>();
  command.option("--config", options->configs, "FILE",
                 "a run's configuration; several are drawn over each other");
  command.option("--set", options->overrides, "KEY=VALUE", "sets one key of all of them");
  command.option("--plot", options->plot, "FILE", "writes an SVG picture");
  command.option("--at", options->at, "TOKENS,...",
                 "prints the rate there instead of a plot: 1e9, 1.5B, 300 steps, 10%");
  command.option("--cases", options->cases, "FILE",
                 "schedules and points as JSON; the same is written with this program's rates");
  command.option("--out", options->out, "FILE", "where the text goes; else to standard output");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
