#include "launcher/suite/cell.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <set>

#include "launcher/train/setup.h"
#include "runtime/base/error.h"

namespace hecate::launcher::suite {
namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void take(const ByKind& values, std::map<std::string, double>& out) {
  for (size_t kind = 0; kind < values.size(); ++kind)
    if (values[kind] > 0)
      out[std::string(graph::name_of(static_cast<graph::OpKind>(kind)))] = values[kind];
}

void fill(const SimulationResult& simulated, CellResult& result) {
  const SimulatedStep& step = median_step(simulated);
  result.step_seconds = simulated.step_seconds;
  result.moved_seconds = simulated.moved_seconds_per_step;
  result.layer_seconds = step.layer_seconds;
  result.bound_seconds = step.bound_seconds;
  result.layers = step.layers;
  result.imbalance = step.imbalance;
  result.memory_gib = simulated.memory_gib;
  result.tokens = static_cast<double>(simulated.tokens);
  result.fits = simulated.fits;
  take(step.critical, result.critical);
  take(step.link_bytes, result.link_bytes);
  for (size_t i = 0; i < kMemoryCategories; ++i)
    result.memory[std::string(name_of(static_cast<MemoryCategory>(i)))] =
        static_cast<double>(simulated.memory[i]);
}

std::map<std::string, CellResult> read_results(const std::filesystem::path& file) {
  std::map<std::string, CellResult> results;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.empty()) continue;
    try {
      CellResult result = result_from_json(line);
      const std::string id = result.cell.id();
      results.insert_or_assign(id, std::move(result));
    } catch (const InvalidArgument&) {
      break;  // the run that wrote it was interrupted here
    }
  }
  return results;
}

}  // namespace

std::string Cell::label() const {
  return planner == "auto" ? strategy : concat(strategy, "/", planner);
}

std::string Cell::load_name() const {
  constexpr std::string_view kTrace = "trace:";
  if (!load_text.starts_with(kTrace)) return load_text;
  const size_t folders = load_text.substr(0, load_text.find(',')).rfind('/');
  return folders == std::string::npos ? load_text : concat(kTrace, load_text.substr(folders + 1));
}

std::string Cell::id() const {
  std::string id = concat(group, "|", label(), "|", cluster, "|", model, "|", loads, "|", devices,
                          "|", variant, "|", load_name());
  for (const std::string& each : settings) id += "|" + each;
  return concat(id, "|", warmup, "+", steps);
}

CellResult run_cell(const Cell& cell, const std::filesystem::path& clusters) {
  CellResult result;
  result.cell = cell;
  const auto begin = std::chrono::steady_clock::now();
  try {
    config::Settings settings;
    for (const std::string& each : cell.settings) settings.add_override(each);
    settings.add_override("strategy=" + cell.strategy);
    if (cell.planner != "auto") settings.add_override("planner=" + cell.planner);
    SimulationOptions options;
    options.config = load_run_config(settings, {"data"});
    options.cluster = load_cluster_profile((clusters / (cell.cluster + ".toml")).string());
    if (cell.devices_per_node > 0) options.cluster.links.devices_per_node = cell.devices_per_node;
    options.devices = cell.devices;
    options.loads = cell.load_text;
    options.warmup = cell.warmup;
    options.steps = cell.steps;
    fill(simulate(options), result);
  } catch (const InvalidArgument& error) {
    result.error = error.what();
  }
  result.spent_seconds = seconds_since(begin);
  return result;
}

std::vector<CellResult> run_cells(const std::vector<Cell>& cells, const RunnerOptions& options,
                                  const std::string& file) {
  std::filesystem::create_directories(options.out);
  const std::filesystem::path path = options.out / file;
  if (options.fresh) std::filesystem::remove(path);
  std::map<std::string, CellResult> known = read_results(path);
  // Written anew: a line that an interruption cut short is gone.
  std::ofstream out(path);
  for (const auto& [id, result] : known) out << to_json(result) << "\n";
  std::vector<CellResult> results;
  size_t number = 0;
  for (const Cell& cell : cells) {
    ++number;
    auto found = known.find(cell.id());
    if (found == known.end()) {
      found = known.insert_or_assign(cell.id(), run_cell(cell, options.clusters)).first;
      out << to_json(found->second) << "\n";
      if (!out.flush()) throw IoError(concat("cannot write ", path.string()));
    }
    results.push_back(found->second);
    const CellResult& result = found->second;
    if (options.progress)
      options.progress(
          concat(number, "/", cells.size(), " ", cell.group, " ", cell.label(), " ", cell.cluster,
                 " ", cell.model, " ", cell.loads, " ", cell.devices, " ", cell.variant, ": ",
                 result.error.empty() ? concat(1e3 * result.step_seconds, " ms") : result.error));
  }
  return results;
}

const CellResult* find(const std::vector<CellResult>& results, const Cell& like) {
  for (const CellResult& result : results) {
    const Cell& cell = result.cell;
    if (cell.group == like.group && cell.label() == like.label() && cell.cluster == like.cluster &&
        cell.model == like.model && cell.loads == like.loads && cell.devices == like.devices &&
        cell.variant == like.variant)
      return &result;
  }
  return nullptr;
}

}  // namespace hecate::launcher::suite
