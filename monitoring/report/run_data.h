#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "monitoring/report/table.h"

/// What a report shows of a run, wherever it was read.
namespace hecate::monitoring {

enum class RunState : uint8_t {
  running,   ///< steps came a moment ago
  finished,  ///< the last step that the configuration asks for is there
  stopped,   ///< neither
};

/// Tokens per expert of some steps, of the whole batch.
struct ExpertLoads {
  int64_t experts = 0;
  std::vector<int64_t> layers;  ///< their numbers
  std::vector<int64_t> steps;
  std::vector<int64_t> counts;  ///< [steps, layers, experts]
};

/// Who owned and who held which expert in one step.
struct PlacementSnapshot {
  struct Layer {
    int64_t layer = 0;                         ///< of the model
    std::vector<int64_t> owners;               ///< rank of each expert
    std::vector<std::vector<int64_t>> copies;  ///< other ranks that held each expert
    std::vector<int64_t> loads;                ///< tokens of each expert in the step; may be empty
  };
  int64_t step = 0;
  std::vector<Layer> layers;
};

/// What the lanes of some ranks did in one recorded step. Times are milliseconds from its start.
struct TimelineExcerpt {
  struct Slice {
    int64_t rank = 0, lane = 0;  ///< indices into ranks and lanes
    double begin = 0, end = 0;
    std::string name, kind;
  };
  struct Counter {
    std::string name;
    int64_t rank = 0;
    std::vector<std::pair<double, double>> values;  ///< (time, value from then on)
  };
  int64_t step = 0;
  std::vector<int64_t> ranks;
  std::vector<std::string> lanes;
  std::vector<Slice> slices;
  std::vector<Counter> counters;
  int64_t left_out = 0;  ///< slices that were too short to show
};

/// A member of a population took another one's state.
struct Exploit {
  std::string target, donor;
  double target_step = 0, donor_step = 0;
  double target_score = 0, donor_score = 0;                        ///< NaN: not written
  std::vector<std::pair<std::string, std::string>> before, after;  ///< hyper-parameters
};

struct RunData {
  std::string name;  ///< told apart from the others' names
  std::string path;
  RunState state = RunState::stopped;
  double age_seconds = 0;   ///< of the last line of the step log
  int64_t total_steps = 0;  ///< that the configuration asks for; 0: not known
  int64_t ranks = 0;        ///< 0: not known
  double budget_bytes = 0;  ///< of one rank; 0: none
  /// The resolved configuration, "train.steps" = "100".
  std::vector<std::pair<std::string, std::string>> settings;
  /// One row per line of the step log, objects as dotted names, and "elapsed_seconds".
  Table steps;
  Table evaluations;
  std::optional<ExpertLoads> loads;
  std::vector<PlacementSnapshot> placements;  ///< steps rising
  std::optional<TimelineExcerpt> timeline;
  /// What was damaged, or left out for its size; one sentence each.
  std::vector<std::string> notes;

  /// Empty: the configuration has no such key.
  std::string setting(const std::string& key) const;
};

struct ReportData {
  std::vector<RunData> runs;
  std::vector<Exploit> exploits;  ///< of a population, in the order of the log
};

}  // namespace hecate::monitoring
