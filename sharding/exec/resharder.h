#pragma once
#include <cstdint>

#include "collectives/communicator.h"
#include "runtime/memory/ledger.h"
#include "sharding/exec/expert_store.h"

namespace hecate::sharding::exec {

/// What a change of owners moved, this rank's part.
struct ReshardReport {
  int64_t moves = 0;  ///< chunks that changed their owner, over all ranks
  int64_t bytes_sent = 0;
};

/// Moves parameters and both moments of the experts whose owner changes. All ranks must call, with
/// equal owners, between steps. Everything arrives beside the old state and is taken over only when
/// all ranks have theirs: if it throws on any rank, owners and contents are what they were.
/// @throws CommError as every collective; DeviceError when memory for what arrives is short;
///   InvalidArgument as ExpertStore::change_owners.
ReshardReport reshard(ExpertStore& store, const Ownership& owners,
                      const collectives::Communicator& communicator, MemoryLedger& ledger);

}  // namespace hecate::sharding::exec
