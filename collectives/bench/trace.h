#pragma once
#include <string>
#include <vector>

namespace hecate::collectives::bench {

/// Loads of 16 experts in one iteration and layer of a recorded trace: uint16 .npy of shape
/// [iteration, rank 16, layer 24, expert 32], ranks added up, neighbouring experts too.
/// @throws IoError when the file is no such trace or ends early.
std::vector<double> trace_loads(const std::string& path, int iteration, int layer);

}  // namespace hecate::collectives::bench
