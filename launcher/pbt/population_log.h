#pragma once
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "scheduler/population/population.h"

namespace hecate::launcher {

/// pbt.jsonl: what a population did, one JSON object a line. `member`: first values; `exploit`: a
/// finished copy with target, donor, both steps, scores, old and new values; at the end `schedule`
/// for each member (the values that its model was trained with, by step) and `best`.
class PopulationLog {
 public:
  /// Writes the file anew from `events`.
  PopulationLog(const std::filesystem::path& path, const population::SearchSpace& space,
                std::span<const population::Event> events);

  /// Appends what is new in `events`, all since the beginning.
  void update(std::span<const population::Event> events);
  /// Appends schedules and the best member.
  void finish(const population::Population& population, std::span<const population::Event> events);

 private:
  void take(const population::Event& event);
  void append(const std::string& line);

  std::filesystem::path path_;
  const population::SearchSpace* space_;
  size_t taken_ = 0;
  std::vector<population::Point> points_;                    // of each member
  std::vector<std::optional<population::Event>> decisions_;  // of each member, not carried out
  std::vector<int64_t> steps_;                               // of each member
};

/// The values of one member's model by step, from a finished pbt.jsonl.
struct ReplaySegment {
  int64_t step = 0;
  population::Settings settings;
};
/// @param member "best" or a number. @throws IoError; InvalidArgument if the population has not
///   ended or has no such member.
std::vector<ReplaySegment> read_schedule(const std::filesystem::path& path,
                                         const std::string& member);

}  // namespace hecate::launcher
