#pragma once
#include "collectives/communicator.h"

namespace hecate::collectives::contract {

void sparse_bytes_are_those_of_the_schedule(const Communicator& world);
void token_bytes_are_those_of_the_rows(const Communicator& world);
void every_byte_sent_is_received(const Communicator& world);

}  // namespace hecate::collectives::contract
