#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

/// A step's operations as the simulator sees them: what it needs of the executor's graph, shared by
/// all ranks. What differs between ranks (rows, transfers) lies in arrays beside it.
namespace hecate::sharding::sim {

inline constexpr int kLanes = 5;

/// In which micro-batches of a step an operation runs.
enum class When : uint8_t { always, first, last };

struct Op {
  std::string name = {};
  int kind = 0;
  int lane = 0;
  int layer = -1;  ///< of the model; -1: outside the layers
  bool backward = false;
  When when = When::always;
  bool host = false;  ///< planning on the host: `seconds`
  double seconds = 0;
  double flops = 0, bytes = 0;
  int rows = -1;  ///< row count that the per-row parts multiply; -1: none
  double flops_per_row = 0, bytes_per_row = 0;
  double bytes_per_group = 0;  ///< per expert that has rows: its weights
  /// Operations on other lanes that must be over first.
  std::vector<int32_t> after = {};
};

struct Program {
  std::vector<Op> ops;  ///< in program order; a lane runs its own in this order
  int rows = 0;         ///< row counts
  int lanes = kLanes;
  /// Lanes whose transfers go before those of the others.
  std::array<bool, kLanes> urgent{};
};

}  // namespace hecate::sharding::sim
