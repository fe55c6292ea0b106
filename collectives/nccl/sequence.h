#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "collectives/engine/program.h"

namespace hecate::collectives::nccl {

/// A program as a sequence for a queue that works in order: rounds of transfers that run at the
/// same time, as one group call, and between them the local steps.
struct Sequence {
  /// Steps by number. Locals come first, in this order; then the transfers, as a group.
  struct Round {
    std::vector<int32_t> locals, transfers;
  };
  std::vector<Round> rounds;
  std::vector<int64_t> slot_offsets;  ///< in the scratch; slots that never live together share it
  int64_t scratch_bytes = 0;
};

/// One rank's sequence. A transfer is in the same round on both of its ranks, a round has at most
/// one transfer per channel (ordered pair of ranks), and every step's predecessors are in earlier
/// rounds (or earlier locals). Such rounds cannot block each other whatever the library does inside
/// a group; rounds that differ between ranks might, so every rank looks at all programs and comes
/// to the same plan. A pure function.
/// @param programs per rank of the group; addresses are not looked at.
/// @param most_transfers of a rank in one round, at least 1.
/// @throws InvalidArgument when the programs do not match.
Sequence plan_sequence(std::span<const Program> programs, int rank, int most_transfers);

}  // namespace hecate::collectives::nccl
