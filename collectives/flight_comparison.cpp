#include "collectives/flight_comparison.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

bool is_over(const FlightEntry& entry) {
  return entry.state == OperationState::done;
}

std::string describe(const FlightEntry& entry) {
  std::string text = entry.sequence == FlightEntry::kPointToPoint
                         ? entry.operation
                         : concat("operation ", entry.sequence, " ", entry.operation);
  text += concat(", ", entry.bytes, " bytes, ", name_of(entry.state));
  const int64_t microseconds = entry.end_ns / 1000;
  if (entry.end_ns > 0) text += concat(" after ", static_cast<double>(microseconds) * 1e-3, " ms");
  if (!entry.late.empty()) text += concat(", waiting for rank ", write_ranks(entry.late));
  return text;
}

struct Suspicion {
  std::string why;
  bool diverged = false;  // it went another way, so that its own waiting is no excuse
};
using Suspects = std::map<int, Suspicion>;

// One communicator: the operation that never ended there, and what its ranks did.
class GroupComparison {
 public:
  using Records = std::map<int, const RankRecord*>;
  GroupComparison(const Records& records, uint32_t context, std::vector<int> ranks)
      : records_(records), context_(context), ranks_(std::move(ranks)) {}

  /// @return nothing when all of its operations ended.
  std::optional<std::string> run(Suspects& suspects) {
    find_stuck();
    if (!stuck_) return std::nullopt;
    for (int rank : ranks_) lines_ += concat("  rank ", rank, ": ", judge(rank), "\n");
    if (!collective())
      std::erase_if(absent_, [&](const auto& a) { return !votes_.contains(a.first); });
    if (absent_.empty()) judge_operations();
    if (absent_.empty()) judge_late();
    suspects.insert(absent_.begin(), absent_.end());
    return concat("ranks ", write_ranks(ranks_), " did not get past ", where(), ":\n", lines_);
  }

 private:
  bool collective() const { return stuck_->sequence != FlightEntry::kPointToPoint; }
  std::string place() const {
    const std::string here = concat("communicator ", context_, ", lane ", name_of(stuck_->lane));
    return collective() ? concat("operation ", stuck_->sequence, " of ", here) : here;
  }
  std::string where() const { return concat(stuck_->operation, " (", place(), ")"); }
  bool is_ours(const FlightEntry& entry) const {
    return entry.context == context_ && entry.ranks && *entry.ranks == ranks_;
  }

  // The earliest unfinished collective; a point-to-point operation only where there is none.
  void find_stuck() {
    for (int rank : ranks_) {
      const auto record = records_.find(rank);
      if (record == records_.end()) continue;
      for (const FlightEntry& entry : record->second->entries) {
        if (!is_ours(entry) || is_over(entry)) continue;
        const bool first = !stuck_ || (entry.sequence >= 0 &&
                                       (!collective() || entry.sequence < stuck_->sequence));
        if (first) stuck_ = &entry;
      }
    }
  }

  std::string judge(int rank) {
    const auto record = records_.find(rank);
    if (record == records_.end()) {
      absent_[rank] = {.why = "left no record; the others were in " + where()};
      return "no record";
    }
    const FlightEntry *last = nullptr, *here = nullptr;  // numbers start again in a later group
    for (const FlightEntry& entry : record->second->entries) {
      if (!is_ours(entry) || (entry.sequence < 0) == collective()) continue;
      last = &entry;
      if (entry.sequence != stuck_->sequence || (here && !is_over(*here))) continue;
      here = &entry;
    }
    if (here != nullptr) {
      operations_[here->operation].push_back(rank);
      for (int late : here->late) ++votes_[late];
      return describe(*here);
    }
    if (collective() && (last == nullptr || last->sequence < stuck_->sequence)) {
      absent_[rank] = {.why = "has not called " + where()};
      return concat(last == nullptr ? "nothing here yet" : describe(*last), " (behind)");
    }
    return last == nullptr ? "nothing here" : describe(*last);
  }

  // All are there, but not in the same operation: the fewer are odd.
  void judge_operations() {
    if (!collective() || operations_.size() < 2) return;
    size_t most = 0;
    for (const auto& [operation, ranks] : operations_) most = std::max(most, ranks.size());
    const bool tie = std::count_if(operations_.begin(), operations_.end(),
                                   [&](const auto& one) { return one.second.size() == most; }) > 1;
    for (const auto& [operation, ranks] : operations_) {
      if (ranks.size() == most && !tie) continue;
      for (int rank : ranks)
        absent_[rank] = {
            .why = concat("called ", operation, ", others something else, as ", place()),
            .diverged = true};
    }
  }

  void judge_late() {
    int most = 0;
    for (const auto& [rank, count] : votes_) most = std::max(most, count);
    for (const auto& [rank, count] : votes_)
      if (count == most) absent_[rank] = {.why = "is the most waited for in " + where()};
  }

  const Records& records_;
  uint32_t context_;
  std::vector<int> ranks_;
  const FlightEntry* stuck_ = nullptr;
  std::string lines_;
  Suspects absent_;
  std::map<std::string, std::vector<int>> operations_;
  std::map<int, int> votes_;
};

// A rank that itself waits in an operation is held up, not holding up.
bool is_waiting(const RankRecord* record, const Suspicion& suspicion, int rank) {
  if (record == nullptr || suspicion.diverged) return false;
  return std::any_of(record->entries.begin(), record->entries.end(), [&](const FlightEntry& entry) {
    return !is_over(entry) && std::any_of(entry.late.begin(), entry.late.end(),
                                          [&](int late) { return late != rank; });
  });
}

}  // namespace

FlightComparison compare(std::span<const RankRecord> records) {
  GroupComparison::Records by_rank;
  std::set<std::pair<uint32_t, std::vector<int>>> groups;
  for (const RankRecord& record : records) {
    by_rank[record.rank] = &record;
    for (const FlightEntry& entry : record.entries)
      if (entry.ranks) groups.emplace(entry.context, *entry.ranks);
  }
  FlightComparison result;
  Suspects suspects;
  for (const auto& [context, ranks] : groups)
    if (const auto text = GroupComparison(by_rank, context, ranks).run(suspects))
      result.text += *text;
  for (const bool only_free : {true, false}) {
    if (!result.odd.empty()) break;  // nobody is free: they wait for each other
    for (const auto& [rank, suspicion] : suspects) {
      const auto found = by_rank.find(rank);
      const RankRecord* record = found == by_rank.end() ? nullptr : found->second;
      if (!only_free || !is_waiting(record, suspicion, rank)) result.odd.push_back(rank);
    }
  }
  for (int rank : result.odd)
    result.text += concat("odd one out: rank ", rank, ", which ", suspects.at(rank).why, "\n");
  return result;
}

}  // namespace hecate::collectives
