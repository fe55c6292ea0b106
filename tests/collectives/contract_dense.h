#pragma once
#include "collectives/communicator.h"

namespace hecate::collectives::contract {

void all_reduce_adds_every_type_and_size(const Communicator& world);
void all_reduce_finds_extremes(const Communicator& world);
void reduce_reaches_any_root(const Communicator& world);
void broadcast_reaches_everybody(const Communicator& world);
void all_gather_packs_by_rank(const Communicator& world);
void reduce_scatter_adds_blocks(const Communicator& world);
void all_to_all_swaps_blocks(const Communicator& world);

}  // namespace hecate::collectives::contract
