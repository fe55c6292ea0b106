#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
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
  /// Sequence number of point-to-point operations: they have no order that all ranks share.
  static constexpr int64_t kPointToPoint = -1;

  std::string operation;
  LaneKind lane = LaneKind::compute;
  uint32_t context = 0;  ///< which communicator; groups without a common rank may share a number
  /// Its ranks, numbered as in the world.
  std::shared_ptr<const std::vector<int>> ranks;
  int64_t sequence = 0;  ///< position in that communicator's order of calls, or kPointToPoint
  int64_t bytes = 0;     ///< that this rank sends and receives
  OperationState state = OperationState::queued;
  int64_t begin_ns = 0, end_ns = 0;  ///< steady clock of the rank; end 0: not over
  std::vector<int> late;             ///< world ranks that it waited for when it was looked at
};

/// Ring of the last 64 operations. Thread-safe.
class FlightRecord {
 public:
  static constexpr size_t kEntries = 64;
  /// @return the entry's ticket for update().
  int64_t add(const FlightEntry& entry);
  /// A ticket that has left the ring is ignored.
  void update(int64_t ticket, OperationState state, int64_t now_ns);
  /// Notes whom an operation waits for.
  void set_late(int64_t ticket, std::vector<int> ranks);
  /// Oldest first.
  std::vector<FlightEntry> snapshot() const;

 private:
  FlightEntry* find(int64_t ticket);

  mutable std::mutex mutex_;
  std::vector<FlightEntry> ring_ = std::vector<FlightEntry>(kEntries);
  int64_t next_ = 0;
};

/// One line per operation: "flight rank lane context ranks sequence operation bytes state
/// milliseconds late", sets of ranks as write_ranks() has them. flight_comparison.h reads it.
void write(std::ostream& out, int rank, std::span<const FlightEntry> entries);

/// A set of ranks as "0-3,8,16-30:2" (last: every second one), "-" when empty; and back, rising.
/// @throws InvalidArgument for other text.
std::string write_ranks(std::vector<int> ranks);
std::vector<int> read_ranks(const std::string& text);

/// Where a rank leaves its record (empty for an empty directory), and where the comparison of all
/// goes. A rank may leave further ones in files named "flight-<anything>.txt".
std::string flight_file(const std::string& directory, int rank);
std::string flight_report_file(const std::string& directory);
/// Writes a record to `path`, whole or not at all, and makes its directory; to the standard error
/// stream when the path is empty or cannot be written.
void leave_record(const std::string& path, int rank, std::span<const FlightEntry> entries);

}  // namespace hecate::collectives
