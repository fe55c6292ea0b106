#pragma once
#include <cstdint>
#include <vector>

#include "runtime/memory/ledger.h"
#include "sharding/exec/domain_lanes.h"
#include "sharding/exec/expert_store.h"

namespace hecate::sharding::exec {

/// What a change of owners moved, this rank's part.
struct ReshardReport {
  int64_t moves = 0;  ///< chunks that came to a rank, over all ranks of a domain
  int64_t bytes_sent = 0;
  int64_t bytes_moved = 0;  ///< over all ranks of all domains
  bool changed = false;     ///< owners or holders are others now
};

/// Moves slices of parameters and both moments of the experts that come to a rank, from their owner
/// or, where one is on the same node, another holder, inside each domain. All ranks must call, with
/// equal owners and holders (as in Residence), between steps. Everything arrives
/// beside the old state (values in the memory of gradients, which are lost) and is taken over only
/// when all ranks have theirs: if it throws on any rank, owners and state are what they were. Whole
/// values of what arrives are undefined where several domains share the state
/// (ExpertReplicas::gather brings them).
/// @throws CommError as every collective; DeviceError when memory for what arrives is short;
///   InvalidArgument as ExpertStore::change_owners.
ReshardReport reshard(ExpertStore& store, const Ownership& owners, const DomainLanes& lanes,
                      MemoryLedger& ledger,
                      const std::vector<collectives::Placement>& holders = {});

}  // namespace hecate::sharding::exec
