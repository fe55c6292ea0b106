#include "collectives/flight_record.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string_view>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

constexpr std::array<std::string_view, 4> kStates = {"queued", "running", "done", "failed"};

int parse_rank(std::string_view text, const std::string& whole) {
  int value = -1;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  HECATE_CHECK(error == std::errc() && stopped == end && value >= 0, "flight record: '", whole,
               "' is no set of ranks");
  return value;
}

// "4", "0-3" or "0-6:2".
void append_range(std::string_view range, const std::string& whole, std::vector<int>& ranks) {
  constexpr size_t kMost = 1 << 20;  // a damaged file must not fill the memory
  const size_t dash = range.find('-'), colon = range.find(':');
  const int first = parse_rank(range.substr(0, dash), whole);
  if (dash == std::string_view::npos) return ranks.push_back(first);
  const int last = parse_rank(range.substr(dash + 1, colon - dash - 1), whole);
  const int stride =
      colon == std::string_view::npos ? 1 : parse_rank(range.substr(colon + 1), whole);
  HECATE_CHECK(stride > 0, "flight record: '", whole, "' is no set of ranks");
  for (int64_t rank = first; rank <= last && ranks.size() < kMost; rank += stride)
    ranks.push_back(static_cast<int>(rank));
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

FlightEntry* FlightRecord::find(int64_t ticket) {
  if (ticket + static_cast<int64_t>(kEntries) < next_) return nullptr;
  return &ring_[static_cast<size_t>(ticket) % kEntries];
}

void FlightRecord::update(int64_t ticket, OperationState state, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  FlightEntry* entry = find(ticket);
  if (entry == nullptr) return;
  entry->state = state;
  if (state == OperationState::done || state == OperationState::failed) entry->end_ns = now_ns;
}

void FlightRecord::set_late(int64_t ticket, std::vector<int> ranks) {
  const std::lock_guard lock(mutex_);
  if (FlightEntry* entry = find(ticket)) entry->late = std::move(ranks);
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
         << write_ranks(entry.ranks ? *entry.ranks : std::vector<int>()) << ' ' << entry.sequence
         << ' ' << entry.operation << ' ' << entry.bytes << ' ' << name_of(entry.state) << ' '
         << static_cast<double>(nanoseconds) * 1e-6 << ' ' << write_ranks(entry.late) << '\n';
  }
  out << text.str() << std::flush;
}

std::string write_ranks(std::vector<int> ranks) {
  if (ranks.empty()) return "-";
  std::sort(ranks.begin(), ranks.end());
  std::string text;
  for (size_t begin = 0, end = 0; begin < ranks.size(); begin = end) {
    end = begin + 1;
    const int stride = end < ranks.size() ? ranks[end] - ranks[begin] : 1;
    while (end < ranks.size() && ranks[end] - ranks[end - 1] == stride) ++end;
    const bool worth_it = end - begin > 2 || (end - begin == 2 && stride == 1);
    if (!worth_it) end = begin + 1;
    text += concat(text.empty() ? "" : ",", ranks[begin]);
    if (worth_it) text += concat("-", ranks[end - 1]);
    if (worth_it && stride != 1) text += concat(":", stride);
  }
  return text;
}

std::vector<int> read_ranks(const std::string& text) {
  std::vector<int> ranks;
  if (text == "-") return ranks;
  std::istringstream parts(text);
  for (std::string range; std::getline(parts, range, ',');) append_range(range, text, ranks);
  std::sort(ranks.begin(), ranks.end());
  return ranks;
}

std::string flight_file(const std::string& directory, int rank) {
  return directory.empty() ? "" : concat(directory, "/flight-", rank, ".txt");
}

std::string flight_report_file(const std::string& directory) {
  return directory + "/flight-report.txt";
}

void leave_record(const std::string& path, int rank, std::span<const FlightEntry> entries) {
  if (!path.empty()) {
    std::error_code ignored;  // opening the file tells
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
    const std::string unfinished = path + ".tmp";
    std::ofstream file(unfinished);
    write(file, rank, entries);
    file.close();
    if (file && std::rename(unfinished.c_str(), path.c_str()) == 0) return;
  }
  write(std::cerr, rank, entries);
}

}  // namespace hecate::collectives
