#pragma once
#include "collectives/communicator.h"

namespace hecate::collectives::contract {

void token_rows_go_and_come_back(const Communicator& world);

}  // namespace hecate::collectives::contract
