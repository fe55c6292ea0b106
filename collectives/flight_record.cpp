#include "collectives/flight_record.h"

#include <algorithm>
#include <array>
#include <istream>
#include <map>
#include <set>
#include <sstream>
#include <string_view>

#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

constexpr std::array<std::string_view, 4> kStates = {"queued", "running", "done", "failed"};

template <class Enum, size_t N>
Enum parse_name(const std::array<std::string_view, N>& names, const std::string& name) {
  const auto at = std::find(names.begin(), names.end(), name);
  HECATE_CHECK(at != names.end(), "flight record: unknown word '", name, "'");
  return static_cast<Enum>(at - names.begin());
}

LaneKind parse_lane(const std::string& name) {
  std::array<std::string_view, kLanes> names;
  for (size_t i = 0; i < kLanes; ++i) names[i] = name_of(static_cast<LaneKind>(i));
  return parse_name<LaneKind>(names, name);
}

const FlightEntry* last_of(const RankRecord& record, uint32_t context) {
  const FlightEntry* last = nullptr;
  for (const FlightEntry& entry : record.entries) {
    if (entry.context != context) continue;
    if (last == nullptr || entry.sequence >= last->sequence) last = &entry;
  }
  return last;
}

std::string compare_context(std::span<const RankRecord> records, uint32_t context) {
  std::ostringstream lines;
  std::set<std::string> seen;
  int64_t furthest = -1;
  for (const RankRecord& record : records)
    if (const FlightEntry* last = last_of(record, context))
      furthest = std::max(furthest, last->sequence);
  for (const RankRecord& record : records) {
    const FlightEntry* last = last_of(record, context);
    std::ostringstream where;
    if (last == nullptr) {
      where << "never used it";
    } else {
      where << "operation " << last->sequence << " " << last->operation << ", " << last->bytes
            << " bytes, " << name_of(last->state);
      if (last->sequence < furthest) where << " (behind)";
    }
    seen.insert(where.str());
    lines << "  rank " << record.rank << ": " << where.str() << "\n";
  }
  if (seen.size() <= 1) return {};
  return concat("communicator ", context, ":\n", lines.str());
}

}  // namespace

std::string_view name_of(OperationState state) {
  return kStates[static_cast<size_t>(state)];
}

int64_t FlightRecord::add(const FlightEntry& entry) {
  const std::lock_guard lock(mutex_);
  ring_[static_cast<size_t>(next_) % kEntries] = entry;
  return next_++;
}

void FlightRecord::update(int64_t ticket, OperationState state, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (ticket + static_cast<int64_t>(kEntries) < next_) return;
  FlightEntry& entry = ring_[static_cast<size_t>(ticket) % kEntries];
  entry.state = state;
  if (state == OperationState::done || state == OperationState::failed) entry.end_ns = now_ns;
}

std::vector<FlightEntry> FlightRecord::snapshot() const {
  const std::lock_guard lock(mutex_);
  std::vector<FlightEntry> entries;
  const auto count = std::min(next_, static_cast<int64_t>(kEntries));
  for (int64_t i = next_ - count; i < next_; ++i)
    entries.push_back(ring_[static_cast<size_t>(i) % kEntries]);
  return entries;
}

void write(std::ostream& out, int rank, std::span<const FlightEntry> entries) {
  std::ostringstream text;  // one piece, so that ranks writing to one terminal do not mix lines
  for (const FlightEntry& entry : entries) {
    const int64_t nanoseconds = entry.end_ns == 0 ? 0 : entry.end_ns - entry.begin_ns;
    text << "flight " << rank << ' ' << name_of(entry.lane) << ' ' << entry.context << ' '
         << entry.sequence << ' ' << entry.operation << ' ' << entry.bytes << ' '
         << name_of(entry.state) << ' ' << static_cast<double>(nanoseconds) * 1e-6 << '\n';
  }
  out << text.str() << std::flush;
}

std::vector<RankRecord> read_records(std::istream& in) {
  std::map<int, RankRecord> records;
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string tag, lane, operation, state;
    int rank = 0;
    double milliseconds = 0;
    FlightEntry entry;
    words >> tag >> rank >> lane >> entry.context >> entry.sequence >> operation >> entry.bytes >>
        state >> milliseconds;
    HECATE_CHECK(words && tag == "flight", "flight record: not an entry: '", line, "'");
    entry.lane = parse_lane(lane);
    entry.state = parse_name<OperationState>(kStates, state);
    entry.operation = operation;
    entry.end_ns = static_cast<int64_t>(milliseconds * 1e6);
    records[rank].rank = rank;
    records[rank].entries.push_back(entry);
  }
  std::vector<RankRecord> sorted;
  for (auto& [rank, record] : records) sorted.push_back(std::move(record));
  return sorted;
}

std::string compare(std::span<const RankRecord> records) {
  std::set<uint32_t> contexts;
  for (const RankRecord& record : records)
    for (const FlightEntry& entry : record.entries) contexts.insert(entry.context);
  std::string report;
  for (uint32_t context : contexts) report += compare_context(records, context);
  return report;
}

}  // namespace hecate::collectives
