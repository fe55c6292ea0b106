#pragma once
#include "collectives/communicator.h"

namespace hecate::collectives::contract {

void world_groups_add_up(const Communicator& world);

}  // namespace hecate::collectives::contract
