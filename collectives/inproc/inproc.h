#pragma once
#include <memory>
#include <vector>

#include "collectives/communicator.h"

namespace hecate::collectives::inproc {

/// A world whose ranks are threads of this process. Bytes move by memcpy on one communication
/// thread that the ranks share and that sleeps when there is nothing to move.
/// The communicators keep the world alive.
/// @param ranks 1 to 64. @return the handle of rank i at index i, each for one thread, lane dense.
std::vector<Communicator> create(int ranks, const CommunicatorOptions& options = {});

}  // namespace hecate::collectives::inproc
