#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "monitoring/report/run_data.h"

namespace hecate::launcher {

/// A line of steps.jsonl as numbers.
struct StepLine {
  bool evaluation = false;
  /// Objects as dotted names: "breakdown.attention"; lists of up to 64 numbers too:
  /// "ranks.compute_seconds.3". null (how JSON spells a NaN) is NaN.
  std::map<std::string, double> values;
  std::map<int64_t, std::vector<int64_t>> counts;  ///< tokens per expert of a layer of the model
  std::optional<monitoring::PlacementSnapshot> placement;

  /// NaN: the line does not say.
  double value(const std::string& name) const;
};

/// Nothing for anything but a JSON object with an integer "step". Whatever else such a line holds
/// is read if it is of the kind above, and passed over if not.
std::optional<StepLine> parse_step_line(std::string_view line);

/// What a whole steps.jsonl says.
struct StepLines {
  monitoring::Table steps, evaluations;
  std::vector<monitoring::PlacementSnapshot> placements;  ///< at most 24, evenly chosen
  std::optional<monitoring::ExpertLoads> loads;           ///< of at most 160 steps, evenly chosen
  std::vector<std::string> notes;                         ///< about lines that are none
};

/// A last line without its end, as a run that is going on leaves it, is passed over. Adds
/// "elapsed_seconds" to the steps: the sum of step_seconds, steps that were not logged counted as
/// long as the next one that was.
StepLines read_step_lines(std::string_view text);

/// `most` of `count` indices, evenly spread, the first and the last among them.
std::vector<size_t> chosen_evenly(size_t count, size_t most);

}  // namespace hecate::launcher
