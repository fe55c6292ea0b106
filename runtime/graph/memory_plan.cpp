#include "runtime/graph/memory_plan.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "runtime/memory/aligned.h"

namespace hecate::graph {
namespace {

// Per lane, the last operation known to be complete when an operation starts.
using Clock = std::array<int32_t, kLanes>;

struct Lifetime {
  int32_t first = -1, last = -1;  // program order
  Clock last_use{};               // per lane
  bool used() const { return first >= 0; }
};

std::vector<Clock> clocks_of(const StepGraph& graph) {
  std::vector<Clock> clocks(graph.ops().size());
  Clock previous_on_lane{};
  previous_on_lane.fill(-1);
  for (size_t i = 0; i < graph.ops().size(); ++i) {
    const Op& op = graph.ops()[i];
    Clock clock{};
    clock.fill(-1);
    const auto join = [&](int32_t other) {
      if (other < 0) return;
      const Clock& seen = clocks[static_cast<size_t>(other)];
      for (size_t lane = 0; lane < kLanes; ++lane) clock[lane] = std::max(clock[lane], seen[lane]);
      int32_t& own = clock[static_cast<size_t>(graph.ops()[static_cast<size_t>(other)].lane)];
      own = std::max(own, other);
    };
    join(previous_on_lane[static_cast<size_t>(op.lane)]);
    for (int32_t other : op.depends_on) join(other);
    clocks[i] = clock;
    previous_on_lane[static_cast<size_t>(op.lane)] = static_cast<int32_t>(i);
  }
  return clocks;
}

std::vector<Lifetime> lifetimes_of(const StepGraph& graph) {
  std::vector<Lifetime> lifetimes(graph.buffers().size());
  for (Lifetime& lifetime : lifetimes) lifetime.last_use.fill(-1);
  for (size_t i = 0; i < graph.ops().size(); ++i) {
    const Op& op = graph.ops()[i];
    const auto touch = [&](BufferId id) {
      Lifetime& lifetime = lifetimes[static_cast<size_t>(id.index)];
      const auto index = static_cast<int32_t>(i);
      if (lifetime.first < 0) lifetime.first = index;
      lifetime.last = index;
      lifetime.last_use[static_cast<size_t>(op.lane)] = index;
    };
    for (BufferId id : op.reads) touch(id);
    for (BufferId id : op.writes) touch(id);
  }
  return lifetimes;
}

// Whether every use of `a` is complete before the first use of `b` starts.
bool precedes(const Lifetime& a, const Lifetime& b, const std::vector<Clock>& clocks) {
  if (a.last >= b.first) return false;
  const Clock& clock = clocks[static_cast<size_t>(b.first)];
  for (size_t lane = 0; lane < kLanes; ++lane)
    if (a.last_use[lane] > clock[lane]) return false;
  return true;
}

struct Placed {
  int64_t begin, end;
};

int64_t lowest_gap(std::vector<Placed>& taken, int64_t bytes) {
  std::sort(taken.begin(), taken.end(),
            [](const Placed& a, const Placed& b) { return a.begin < b.begin; });
  int64_t offset = 0;
  for (const Placed& block : taken) {
    if (block.begin - offset >= bytes) break;
    offset = std::max(offset, block.end);
  }
  return offset;
}

void place(const StepGraph& graph, const std::vector<Lifetime>& lifetimes,
           const std::vector<Clock>& clocks, MemoryPlan& plan) {
  std::vector<size_t> order;
  for (size_t i = 0; i < lifetimes.size(); ++i)
    if (lifetimes[i].used() && graph.buffers()[i].storage == Storage::planned) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return graph.buffers()[a].bytes > graph.buffers()[b].bytes;
  });
  std::vector<size_t> placed;
  std::vector<Placed> taken;
  for (size_t i : order) {
    taken.clear();
    for (size_t j : placed)
      if (!precedes(lifetimes[i], lifetimes[j], clocks) &&
          !precedes(lifetimes[j], lifetimes[i], clocks))
        taken.push_back(
            {plan.offset[j], plan.offset[j] + static_cast<int64_t>(align_up(
                                                  static_cast<size_t>(graph.buffers()[j].bytes)))});
    const auto bytes =
        static_cast<int64_t>(align_up(static_cast<size_t>(graph.buffers()[i].bytes)));
    plan.offset[i] = lowest_gap(taken, bytes);
    plan.arena_bytes = std::max(plan.arena_bytes, plan.offset[i] + bytes);
    placed.push_back(i);
  }
}

int64_t bytes_of(const Buffer& buffer, std::span<const int64_t> rows) {
  return buffer.storage == Storage::pooled
             ? buffer.bytes * rows[static_cast<size_t>(buffer.rows.index)]
             : buffer.bytes;
}

void find_peak(const StepGraph& graph, const std::vector<Lifetime>& lifetimes,
               std::span<const int64_t> rows, MemoryPlan& plan) {
  const size_t steps = graph.ops().size();
  std::vector<MemoryBytes> change(steps + 1);
  std::vector<int64_t> pooled(steps + 1);
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    const Buffer& buffer = graph.buffers()[i];
    const bool external = buffer.storage == Storage::external;
    if (!external && !lifetimes[i].used()) continue;
    const auto category = static_cast<size_t>(buffer.category);
    const int64_t bytes = bytes_of(buffer, rows);
    const size_t begin = external ? 0 : static_cast<size_t>(lifetimes[i].first);
    const size_t end = external ? steps : static_cast<size_t>(lifetimes[i].last) + 1;
    change[begin][category] += bytes;
    change[end][category] -= bytes;
    if (buffer.storage != Storage::pooled) continue;
    pooled[begin] += bytes;
    pooled[end] -= bytes;
  }
  MemoryBytes now{};
  int64_t pooled_now = 0;
  for (size_t step = 0; step < steps; ++step) {
    for (size_t category = 0; category < kMemoryCategories; ++category)
      now[category] += change[step][category];
    if (total(now) > total(plan.peak)) plan.peak = now;
    pooled_now += pooled[step];
    plan.pooled_bytes = std::max(plan.pooled_bytes, pooled_now);
  }
}

}  // namespace

MemoryPlan plan_memory(const StepGraph& graph, std::span<const int64_t> rows) {
  HECATE_CHECK(rows.size() == graph.expected_rows().size(), "plan_memory: ", rows.size(),
               " row counts, the graph has ", graph.expected_rows().size());
  MemoryPlan plan;
  plan.offset.assign(graph.buffers().size(), -1);
  const std::vector<Lifetime> lifetimes = lifetimes_of(graph);
  place(graph, lifetimes, clocks_of(graph), plan);
  find_peak(graph, lifetimes, rows, plan);
  return plan;
}

}  // namespace hecate::graph
