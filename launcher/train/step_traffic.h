#pragma once
#include <array>
#include <cstdint>

#include "collectives/communicator.h"

namespace hecate::launcher {

/// What the ranks of a step sent one another, as counted at the communicator; the same on all of
/// them. On one node there is no link: busiest_link is zero.
struct StepTraffic {
  using ByKind = std::array<int64_t, collectives::kTrafficKinds>;
  ByKind sent_bytes{};                    ///< over all ranks
  ByKind busiest_link_bytes{};            ///< into or out of the node with most, by kind
  int64_t busiest_link_bytes_of_all = 0;  ///< the same of all kinds together
};

/// Puts the ranks' own counts together. All ranks must call. Blocks.
/// @param own of this rank, peers numbered as in `ranks`.
StepTraffic sum_traffic(const collectives::Traffic& own, const collectives::Communicator& ranks);

}  // namespace hecate::launcher
