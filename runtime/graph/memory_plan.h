#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/graph/step_graph.h"

namespace hecate::graph {

/// Where every planned buffer lies in one arena. Two buffers share bytes only if all uses of one
/// happen before all uses of the other through lane order and dependencies, so no lane timing can
/// make them meet. Largest first, each at the lowest offset that is free among those it conflicts
/// with.
struct MemoryPlan {
  std::vector<int64_t> offset;  ///< per buffer; -1 for pooled, external and unused ones
  int64_t arena_bytes = 0;
  /// What the graph holds at its fullest moment in program order, by category: planned, pooled (at
  /// the given row counts) and external buffers. The arena itself may be larger by fragmentation.
  MemoryBytes peak{};
  /// Pooled bytes at their fullest moment.
  int64_t pooled_bytes = 0;
};

/// @param rows one value per row count of the graph, e.g. graph.expected_rows().
MemoryPlan plan_memory(const StepGraph& graph, std::span<const int64_t> rows);

}  // namespace hecate::graph
