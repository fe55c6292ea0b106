#include "runtime/trace/levels.h"

#include <algorithm>
#include <map>

namespace hecate::trace {

std::vector<std::pair<int64_t, int64_t>> levels(std::span<const Rise> rises) {
  std::map<int64_t, int64_t> changes;
  for (const Rise& rise : rises) {
    changes[rise.begin] += rise.amount;
    changes[rise.end] -= rise.amount;
  }
  std::vector<std::pair<int64_t, int64_t>> levels;
  int64_t level = 0;
  for (const auto& [time, change] : changes)
    if (change != 0) levels.emplace_back(time, level += change);
  return levels;
}

std::vector<Rise> buffers_in_use(const graph::Executor& executor, MemoryCategory category) {
  const std::vector<graph::Buffer>& buffers = executor.graph().buffers();
  std::vector<Rise> rises(buffers.size());
  const auto touch = [&](graph::BufferId id, const graph::OpTiming& timing) {
    Rise& rise = rises[static_cast<size_t>(id.index)];
    rise.begin = rise.begin == 0 ? timing.begin : std::min(rise.begin, timing.begin);
    rise.end = std::max(rise.end, timing.end);
  };
  for (size_t i = 0; i < executor.graph().ops().size(); ++i) {
    const graph::OpTiming& timing = executor.timings()[i];
    if (timing.begin == 0) continue;
    const graph::Op& op = executor.graph().ops()[i];
    for (const graph::BufferId id : op.reads) touch(id, timing);
    for (const graph::BufferId id : op.writes) touch(id, timing);
  }
  for (size_t i = 0; i < buffers.size(); ++i) {
    const graph::Buffer& buffer = buffers[i];
    if (buffer.storage == graph::Storage::external || buffer.category != category) continue;
    rises[i].amount = buffer.bytes;
    if (buffer.storage == graph::Storage::pooled)
      rises[i].amount *= executor.rows()[static_cast<size_t>(buffer.rows.index)];
  }
  std::erase_if(rises, [](const Rise& rise) { return rise.begin == 0 || rise.amount == 0; });
  return rises;
}

}  // namespace hecate::trace
