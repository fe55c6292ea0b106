#pragma once
#include <vector>

#include "collectives/communicator.h"

namespace hecate::collectives {

/// A rank of a job that is not there: it knows its place, its splits and its nodes, and throws
/// InvalidArgument from everything that would communicate. For predictions about clusters that
/// nobody has started. Splits keep all ranks.
/// @param node_of per rank. @throws InvalidArgument unless rank is one of them.
Communicator imagine(int rank, std::vector<int> node_of);

}  // namespace hecate::collectives
