#include "launcher/report/run_reader.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "collectives/topology.h"
#include "launcher/config/value.h"
#include "launcher/report/load_trace_reader.h"
#include "launcher/report/population_reader.h"
#include "launcher/report/step_lines.h"
#include "launcher/report/timeline_reader.h"
#include "launcher/run/run_directory.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

using monitoring::ReportData;
using monitoring::RunData;
using monitoring::RunState;

// A run is going on while its last line is younger than this, or than some of its steps take.
constexpr double kFreshSeconds = 60, kFreshSteps = 10;

std::string text_of(const config::Value& value) {
  switch (value.kind) {
    case config::Value::Kind::boolean:
      return value.boolean ? "true" : "false";
    case config::Value::Kind::integer:
      return concat(value.integer);
    case config::Value::Kind::real:
      return concat(value.real);
    case config::Value::Kind::string:
      return value.string;
    case config::Value::Kind::list: {
      std::string list;
      for (const config::Value& item : value.items)
        list += (list.empty() ? "" : ", ") + text_of(item);
      return "[" + list + "]";
    }
    case config::Value::Kind::table:
    case config::Value::Kind::date:
      break;
  }
  return value.describe();
}

void flatten(const config::Value& value, const std::string& name,
             std::vector<std::pair<std::string, std::string>>& settings) {
  if (value.kind != config::Value::Kind::table) {
    settings.emplace_back(name, text_of(value));
    return;
  }
  for (size_t i = 0; i < value.keys.size(); ++i)
    flatten(value.items[i], name.empty() ? value.keys[i] : name + "." + value.keys[i], settings);
}

double number_of(const std::string& text) {
  try {
    return text.empty() ? 0 : std::stod(text);
  } catch (const std::logic_error&) {
    return 0;
  }
}

void read_config(const RunDirectory& directory, RunData& run) {
  try {
    flatten(config::parse_toml(io::read_file(directory.config()), "config.toml"), "", run.settings);
  } catch (const InvalidArgument& error) {
    run.notes.emplace_back(error.what());
  }
  run.total_steps = static_cast<int64_t>(number_of(run.setting("train.steps")));
  run.budget_bytes = number_of(run.setting("device.memory_gib")) * 1024 * 1024 * 1024;
}

double age_of(const std::filesystem::path& path) {
  std::error_code error;
  const auto written = std::filesystem::last_write_time(path, error);
  if (error) return 0;
  const auto age = std::filesystem::file_time_type::clock::now() - written;
  return std::max(0.0, std::chrono::duration<double>(age).count());
}

void read_steps(const RunDirectory& directory, RunData& run) {
  std::error_code error;
  if (!std::filesystem::exists(directory.steps(), error)) {
    run.notes.emplace_back("there is no steps.jsonl yet");
    return;
  }
  StepLines lines = read_step_lines(io::read_file(directory.steps()));
  run.age_seconds = age_of(directory.steps());
  run.steps = std::move(lines.steps);
  run.evaluations = std::move(lines.evaluations);
  run.placements = std::move(lines.placements);
  run.loads = std::move(lines.loads);
  run.notes.insert(run.notes.end(), lines.notes.begin(), lines.notes.end());
  const double budget = run.steps.last("memory_budget_bytes");
  if (std::isfinite(budget)) run.budget_bytes = budget;
}

RunState state_of(const RunData& run) {
  const double step = run.steps.last("step"), seconds = run.steps.median("step_seconds");
  if (run.total_steps > 0 && step >= static_cast<double>(run.total_steps))
    return RunState::finished;
  const double fresh = std::fmax(kFreshSeconds, kFreshSteps * seconds);
  return run.steps.rows() > 0 && run.age_seconds < fresh ? RunState::running : RunState::stopped;
}

// What was measured for the plans says how many ranks there are; one rank measures nothing.
int64_t ranks_of(const RunDirectory& directory, const RunData& run) {
  std::error_code error;
  const std::filesystem::path inputs = directory.path() / "plan_inputs.json";
  if (std::filesystem::exists(inputs, error)) {
    const auto json = nlohmann::json::parse(io::read_file(inputs), nullptr, false);
    if (json.is_object() && json.contains("topology") && json["topology"].is_string())
      return collectives::topology_from_text(json["topology"]).ranks();
  }
  int64_t ranks = 0;
  while (run.steps.has(concat("ranks.compute_seconds.", ranks))) ++ranks;
  if (ranks > 0) return ranks;
  for (const std::string& column : run.steps.columns())
    if (column.starts_with("sharded.")) return 0;
  return run.steps.rows() > 0 ? 1 : 0;
}

// A load trace numbers the layers that have experts; the step log knows the model's numbers.
void name_layers(RunData& run) {
  std::vector<int64_t> layers;
  for (const std::string& column : run.steps.columns())
    if (column.starts_with("load.") && column.ends_with(".entropy"))
      layers.push_back(std::stoll(column.substr(std::string_view("load.").size())));
  std::ranges::sort(layers);
  if (layers.size() == run.loads->layers.size()) run.loads->layers = std::move(layers);
}

RunData read_run(const RunDirectory& directory) {
  RunData run;
  run.path = directory.path().string();
  read_config(directory, run);
  read_steps(directory, run);
  run.state = state_of(run);
  run.ranks = ranks_of(directory, run);
  if (!run.loads) {
    run.loads = read_load_trace(directory.load_trace(), run.notes);
    if (run.loads) name_layers(run);
  }
  run.timeline = read_timeline(directory.path() / "timeline", run.notes);
  return run;
}

std::string normal(const std::filesystem::path& path) {
  std::string text = path.lexically_normal().string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

// The last parts of the path that tell it from all others; the path where none does.
std::string name_of(const std::string& path, const std::vector<std::string>& all) {
  for (size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0;
       slash = path.rfind('/', slash - 1)) {
    const std::string end = path.substr(slash);
    if (std::ranges::count_if(
            all, [&](const std::string& other) { return ("/" + other).ends_with(end); }) == 1)
      return end.substr(1);
  }
  return path;
}

}  // namespace

ReportData read_report(const std::vector<std::string>& paths) {
  HECATE_CHECK(!paths.empty(), "report: expected at least one run directory");
  ReportData report;
  std::vector<std::string> runs;
  const auto add = [&](const std::filesystem::path& path) {
    const std::string text = normal(path);
    if (std::ranges::find(runs, text) == runs.end()) runs.push_back(text);
  };
  for (const std::string& path : paths) {
    const std::filesystem::path log = std::filesystem::path(path) / kPopulationLog;
    std::error_code error;
    if (!std::filesystem::exists(log, error)) {
      add(RunDirectory::open(path).path());
      continue;
    }
    Population population = read_population(path);
    std::ranges::move(population.exploits, std::back_inserter(report.exploits));
    for (const std::filesystem::path& member : population.members) add(member);
    if (population.members.empty())
      throw InvalidArgument(concat(path, ": a population without a member that is a run"));
  }
  for (const std::string& path : runs) {
    report.runs.push_back(read_run(RunDirectory::at(path)));
    report.runs.back().name = name_of(path, runs);
  }
  return report;
}

}  // namespace hecate::launcher
