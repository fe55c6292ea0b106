#pragma once
#include <ostream>
#include <span>

#include "collectives/communicator.h"

/// What every communicator must do: each case is called by all ranks and throws where the contract
/// is broken. Data are small integers, so that sums are exact in every type and order.
namespace hecate::collectives::contract {

struct Case {
  const char* name;
  void (*run)(const Communicator& world);
};
std::span<const Case> cases();
inline void PrintTo(const Case* each, std::ostream* out) {
  *out << each->name;
}

}  // namespace hecate::collectives::contract
