#include "scheduler/population/lineage.h"

#include <map>

#include "runtime/base/error.h"

namespace hecate::population {
namespace {

std::vector<Segment> up_to(const std::vector<Segment>& segments, int64_t step) {
  std::vector<Segment> kept;
  for (const Segment& segment : segments)
    if (segment.step < step || segment.step == 0) kept.push_back(segment);
  return kept;
}

}  // namespace

std::vector<std::vector<Segment>> schedules(std::span<const Event> events) {
  std::vector<std::vector<Segment>> all;
  std::map<int, std::vector<Segment>> pending;  // of the donor when it was chosen, then its own
  for (const Event& event : events) {
    const auto member = static_cast<size_t>(event.member);
    if (event.kind == EventKind::member) all.push_back({{0, event.member, event.point}});
    if (event.kind == EventKind::copy_failed) pending.erase(event.member);
    if (event.kind == EventKind::lease && event.copy && !pending.contains(event.member)) {
      std::vector<Segment> segments =
          up_to(all.at(static_cast<size_t>(event.copy->donor)), event.copy->step);
      segments.push_back({event.copy->step, event.member, event.point});
      pending[event.member] = std::move(segments);
    }
    if (event.kind != EventKind::copied) continue;
    const auto decided = pending.find(event.member);
    HECATE_CHECK(decided != pending.end(), "member ", event.member,
                 " was copied without a decision");
    all.at(member) = std::move(decided->second);
    pending.erase(decided);
  }
  return all;
}

}  // namespace hecate::population
