#pragma once
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "runtime/device/lane.h"

/// What a rank did last: the evidence when an operation never ends.
namespace hecate::collectives {

enum class OperationState : uint8_t { queued, running, done, failed };
std::string_view name_of(OperationState state);

struct FlightEntry {
  std::string operation;
  LaneKind lane = LaneKind::compute;
  uint32_t context = 0;  ///< which communicator, equal on all its ranks
  int64_t sequence = 0;  ///< position in that communicator's order of calls
  int64_t bytes = 0;     ///< that this rank sends and receives
  OperationState state = OperationState::queued;
  int64_t begin_ns = 0, end_ns = 0;  ///< steady clock of the rank; end 0: not over
};

/// Ring of the last 64 operations. Thread-safe.
class FlightRecord {
 public:
  static constexpr size_t kEntries = 64;
  /// @return the entry's ticket for update().
  int64_t add(const FlightEntry& entry);
  /// A ticket that has left the ring is ignored.
  void update(int64_t ticket, OperationState state, int64_t now_ns);
  /// Oldest first.
  std::vector<FlightEntry> snapshot() const;

 private:
  mutable std::mutex mutex_;
  std::vector<FlightEntry> ring_ = std::vector<FlightEntry>(kEntries);
  int64_t next_ = 0;
};

/// One line per operation: "rank lane context sequence operation bytes state milliseconds".
void write(std::ostream& out, int rank, std::span<const FlightEntry> entries);

/// One rank's record, for comparing.
struct RankRecord {
  int rank = 0;
  std::vector<FlightEntry> entries;
};
/// What write() wrote, parsed back. @throws InvalidArgument on a line that it did not write.
std::vector<RankRecord> read_records(std::istream& in);
/// For each communicator where ranks differ: how far every rank got, and which ones are behind or
/// called another operation. Empty when all agree.
std::string compare(std::span<const RankRecord> records);

}  // namespace hecate::collectives
