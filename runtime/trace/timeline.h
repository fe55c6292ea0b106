#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/graph/executor.h"
#include "runtime/trace/levels.h"

namespace hecate::trace {

/// Steps that are recorded, both ends included, as steps.jsonl counts them (1 is the first).
struct StepRange {
  int64_t first = 1, last = 0;

  bool contains(int64_t step) const { return first <= step && step <= last; }
};

/// "steps=10..12" or "steps=10". @throws InvalidArgument for anything else.
StepRange parse_step_range(std::string_view text);

/// Keeps what an executor's operations did in some steps of one rank, and writes it as a timeline:
/// one process per rank, one row per lane below a row of steps and micro-batches, arrows where an
/// operation waited for one on another lane. Counters per rank: "bytes in flight: LANE", what the
/// operations under way on a communicating lane move by their cost, and "memory: CATEGORY".
class TimelineRecorder {
 public:
  explicit TimelineRecorder(StepRange steps, int rank = 0);

  bool wants(int64_t step) const { return steps_.contains(step); }
  /// Makes now the timeline's zero: ranks call it together, right after a barrier, so that their
  /// clocks agree. Otherwise zero is where the first recorded operation begins.
  void align();
  /// Adds the executor's last run.
  /// @param micro_batch of the step; negative: the optimizer's update.
  /// @param resident bytes of the rank that stay, by category: all but the executors' arenas and
  ///   pools, of which the counters show what is in use.
  void record(int64_t step, int64_t micro_batch, const graph::Executor& executor,
              const MemoryBytes& resident = {});
  /// Writes what was recorded so far; makes the directory. @throws IoError.
  void write(const std::filesystem::path& path) const;

 private:
  struct Entry {
    std::string name;
    graph::OpKind kind;
    LaneKind lane;
    int64_t layer, step, micro_batch;
    bool backward;
    graph::OpTiming timing;
    double flops, bytes;
  };
  struct Wait {
    size_t from, to;  // of entries_
  };
  struct Span {
    int64_t step, micro_batch;
    graph::OpTiming timing;
    MemoryBytes resident;
  };

  void write_spans(class TraceWriter& writer) const;
  void write_counters(class TraceWriter& writer) const;
  void write_counter(class TraceWriter& writer, const std::string& name,
                     std::span<const Rise> rises) const;

  StepRange steps_;
  int rank_;
  int64_t zero_ = 0;  // of the steady clock; 0: not known yet
  std::vector<Entry> entries_;
  std::vector<Wait> waits_;
  std::vector<Span> spans_;
  std::array<std::vector<Rise>, kMemoryCategories> in_use_;
};

/// One timeline from those of several ranks. @throws IoError, InvalidArgument naming the part that
/// no recorder wrote.
void merge_timelines(std::span<const std::filesystem::path> parts,
                     const std::filesystem::path& path);

}  // namespace hecate::trace
