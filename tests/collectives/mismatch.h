#pragma once
#include <ostream>
#include <span>

#include "collectives/communicator.h"

/// Calls on which the ranks of a checked world disagree: each must end in an error on every rank,
/// never in a deadlock.
namespace hecate::collectives::contract {

struct Mismatch {
  const char* name;
  /// Called by all ranks of a group of three, by rank 1 with `odd`. Buffers are of the call.
  void (*call)(const Communicator& group, bool odd);
  /// Ranks below this one can see it: an InvalidArgument there. The rest may only time out, or have
  /// done their part.
  int seen_by;
};
std::span<const Mismatch> mismatches();
inline void PrintTo(const Mismatch& mismatch, std::ostream* out) {
  *out << mismatch.name;
}

/// Makes one call on a group of its own. @return what was wrong about the outcome; empty: nothing.
std::string outcome_of(const Communicator& world, const Mismatch& mismatch);

}  // namespace hecate::collectives::contract
