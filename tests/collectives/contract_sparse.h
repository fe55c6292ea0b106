#pragma once
#include "collectives/communicator.h"

namespace hecate::collectives::contract {

void sparse_pair_matches_a_direct_computation(const Communicator& world);
void sparse_sums_have_the_same_bits(const Communicator& world);

}  // namespace hecate::collectives::contract
