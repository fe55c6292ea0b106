#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "launcher/simulate/simulation.h"

/// Suites of simulated (or real) steps: one cell is one strategy on one cluster under one load.
namespace hecate::launcher::suite {

struct Cell {
  std::string group;  ///< what it belongs to: "weak", "strong", "speed-up", ...
  std::string strategy;
  std::string planner = "auto";
  std::string cluster;  ///< name of a profile in the suite's folder of profiles
  std::string model;    ///< a short name
  std::string loads;    ///< a short name
  int devices = 0;
  std::string variant;                  ///< what else differs; may be empty
  std::string load_text;                ///< as make_load_source
  std::vector<std::string> settings{};  ///< "key=value" of the configuration
  int64_t warmup = 8, steps = 3;
  int64_t devices_per_node = 0;  ///< 0: the profile's

  /// Names the cell in files; equal cells have equal ones.
  std::string id() const;
  /// load_text with a trace's file named without its folders: what results and id() hold, so that
  /// they are the same on every machine.
  std::string load_name() const;
  /// The strategy as figures show it: with the planner where it is not the strategy's own.
  std::string label() const;
};

/// What a cell took. Seconds are of a step.
struct CellResult {
  Cell cell;
  std::string error;  ///< why there is none; empty: there is
  double step_seconds = 0, moved_seconds = 0, layer_seconds = 0, bound_seconds = 0;
  double imbalance = 0, memory_gib = 0, tokens = 0, spent_seconds = 0;
  bool fits = true;
  std::vector<double> layers;                ///< layer_seconds, layer by layer
  std::map<std::string, double> critical;    ///< seconds by kind of operation
  std::map<std::string, double> link_bytes;  ///< of the busiest link by kind
  std::map<std::string, double> memory;      ///< bytes by category
};

/// Simulates one cell. Errors of a strategy that cannot run there become the result's error.
CellResult run_cell(const Cell& cell, const std::filesystem::path& clusters);

/// Where results go and come from.
struct RunnerOptions {
  std::filesystem::path out;       ///< folder: results.jsonl and what the report needs
  std::filesystem::path clusters;  ///< folder of profiles
  bool fresh = false;              ///< ignores what an earlier run left
  std::function<void(const std::string&)> progress = {};
};

/// Runs the cells that `out` has no result of, each written as soon as it is there, so that a run
/// that was interrupted goes on; then gives all cells' results, in order.
/// @throws IoError.
std::vector<CellResult> run_cells(const std::vector<Cell>& cells, const RunnerOptions& options,
                                  const std::string& file);

/// One line of JSON with hardware, commit and the cell's settings, and back.
std::string to_json(const CellResult& result);
CellResult result_from_json(const std::string& line);

/// The result of a cell with these coordinates; null: none.
const CellResult* find(const std::vector<CellResult>& results, const Cell& like);

}  // namespace hecate::launcher::suite
