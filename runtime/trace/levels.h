#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "runtime/graph/executor.h"

namespace hecate::trace {

/// A level that is `amount` higher from `begin` to `end`; nanoseconds of the steady clock.
struct Rise {
  int64_t begin = 0, end = 0;
  int64_t amount = 0;
};

/// The level at every moment that it changes: (time, level from then on), times rising. Rises that
/// meet in one moment make one change.
std::vector<std::pair<int64_t, int64_t>> levels(std::span<const Rise> rises);

/// Bytes of the executor's planned and pooled buffers of a category in its last run: each from the
/// begin of the first operation that touched it to the end of the last one. External buffers are
/// their owners' business.
std::vector<Rise> buffers_in_use(const graph::Executor& executor, MemoryCategory category);

}  // namespace hecate::trace
