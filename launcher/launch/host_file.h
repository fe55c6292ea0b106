#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hecate::launch {

/// A machine and how many ranks it takes: one per device.
struct Host {
  std::string name;
  int64_t slots = 1;
  bool operator==(const Host&) const = default;
};

/// Reads the form that mpirun reads: a line `NAME [slots=N]` per host (one slot unless said),
/// `#` starts a comment, a host that comes again adds its slots. Order is kept: ranks fill the
/// hosts in it.
/// @param source names the text in messages.
/// @throws InvalidArgument with source and line for anything else, or if there is no host.
std::vector<Host> parse_hosts(std::string_view text, const std::string& source);

int64_t total_slots(const std::vector<Host>& hosts);

/// Ranks per host when `ranks` fill the slots in order; what does not fit goes round robin.
/// @param hosts with at least one slot each.
std::vector<int64_t> fill(const std::vector<Host>& hosts, int64_t ranks);

}  // namespace hecate::launch
