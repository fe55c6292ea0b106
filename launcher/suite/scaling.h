#pragma once
#include <string>
#include <vector>

#include "launcher/suite/cell.h"

/// The scaling suite: every strategy from 8 to 4096 devices, even, recorded, bursty and modern
/// loads, weak and strong scaling. docs/benchmarks.md has the grid and the rules in words.
namespace hecate::launcher::suite {

struct ScalingOptions {
  RunnerOptions runner;
  std::string trace;                    ///< recorded loads; empty: a synthetic stand-in
  std::vector<std::string> strategies;  ///< empty: all that the runtime has
  bool quick = false;                   ///< a fraction of the grid
};

/// A strategy of the grid, and what tuning decided about it.
struct Contender {
  std::string strategy, planner = "auto";
  std::vector<std::string> settings{};
  std::string chosen;  ///< in words
};

/// All strategies of the runtime; fssdp also with planners of its own where there are any.
std::vector<Contender> contenders(const ScalingOptions& options);

/// Settings that tuning tries for a strategy, as "key=value" lists.
std::vector<std::vector<std::string>> candidates(const std::string& strategy);

/// The cells of tuning: every candidate of every contender on one cluster, size and load.
std::vector<Cell> tuning_cells(const ScalingOptions& options,
                               const std::vector<Contender>& contenders);
/// Takes each contender's fastest candidate that fits the memory; ties: the earlier one.
void take_tuning(const std::vector<CellResult>& results, std::vector<Contender>& contenders);

/// The grid, at most 400 cells.
std::vector<Cell> scaling_cells(const ScalingOptions& options,
                                const std::vector<Contender>& contenders);

/// One judged cell of ours.
struct Judgement {
  Cell cell;
  std::string goal;
  double value = 0, wanted = 0;
  bool met = true;
  std::string reason;  ///< where it is not met
};
/// The goals of docs/benchmarks.md for `ours`, a contender's label.
std::vector<Judgement> judge(const std::vector<CellResult>& results, const std::string& ours);

/// Runs tuning and grid, writes results and report.html. @return a summary for people.
std::string run_scaling(const ScalingOptions& options);

}  // namespace hecate::launcher::suite
