#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "collectives/communicator.h"
#include "runtime/memory/ledger.h"

namespace hecate::launcher {

/// What the ranks of a step sent one another, as counted at the communicator; the same on all of
/// them. On one node there is no link: busiest_link is zero.
struct StepTraffic {
  using ByKind = std::array<int64_t, collectives::kTrafficKinds>;
  ByKind sent_bytes{};                    ///< over all ranks
  ByKind busiest_link_bytes{};            ///< into or out of the node with most, by kind
  int64_t busiest_link_bytes_of_all = 0;  ///< the same of all kinds together
  ByKind between_nodes_bytes{};           ///< of sent_bytes, what left its node
};

/// What one rank did in a step and holds, for comparing the ranks.
struct RankVitals {
  int64_t compute_ns = 0;        ///< its compute lane was busy
  int64_t waited_ns = 0;         ///< it stood still for other lanes
  int64_t data_ns = 0;           ///< it read its part of the batch
  int64_t peak_total_bytes = 0;  ///< most that it has held of its budget
  MemoryBytes peak_bytes{};      ///< the same of each category by itself, communication included

  /// Compute and data: what the others may have to wait for.
  double busy_seconds() const { return 1e-9 * static_cast<double>(compute_ns + data_ns); }
};

/// The rank with the most busy_seconds; the lower one of equals. @param ranks at least one.
int slowest_rank(std::span<const RankVitals> ranks);

/// Puts the ranks' own counts together. All ranks must call. Blocks.
/// @param own of this rank, peers numbered as in `ranks`.
/// @param vitals per rank; this rank's are sent, the others' overwritten.
StepTraffic sum_traffic(const collectives::Traffic& own, const collectives::Communicator& ranks,
                        std::span<RankVitals> vitals);

}  // namespace hecate::launcher
