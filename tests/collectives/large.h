#pragma once
#include "collectives/communicator.h"

namespace hecate::collectives::contract {

/// Why the transfers below are not tried: only in full runs (HECATE_TEST_FULL), and with 10 GiB of
/// memory free. Empty: try them.
std::string reason_to_skip_large();

/// Moves, adds and gathers more than 2^31 bytes, and more than 2^31 elements, on two ranks.
/// @throws Error where a byte is wrong.
void large_transfers_arrive(const Communicator& world);

}  // namespace hecate::collectives::contract
