#pragma once
#include <vector>

#include "collectives/communicator.h"

namespace hecate::collectives {

/// A rank of a job that is not there, for predictions about clusters that nobody has started. Its
/// peers do what it does: a maximum or minimum is its own value, a split by color 0 keeps all
/// ranks, one by another color leaves it alone; subgroups are what they say. Everything else throws
/// InvalidArgument.
/// @param node_of per rank. @throws InvalidArgument unless rank is one of them.
Communicator imagine(int rank, std::vector<int> node_of);

}  // namespace hecate::collectives
