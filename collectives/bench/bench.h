#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "collectives/bench/report.h"
#include "collectives/communicator.h"

/// Figures of the collectives: `hecate bench collectives`. Definitions of the times and bandwidths:
/// docs/collectives.md.
namespace hecate::collectives::bench {

enum class Dense : uint8_t { all_reduce, all_gather, reduce_scatter, broadcast, all_to_all };
/// The library's own call of f32 (counts as in the Communicator's), blocking. @return seconds.
using NativeCall = std::function<double(Dense, const void* in, void* out, int64_t count)>;

struct Options {
  /// dense, sparse, overlap, tokens, plan.
  std::vector<std::string> suites = {"dense", "sparse", "overlap", "tokens", "plan"};
  std::vector<int64_t> sizes = {64 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20};  ///< dense, bytes
  std::vector<int64_t> expert_bytes = {1 << 20, 4 << 20, 16 << 20};               ///< sparse
  std::vector<std::string> algorithms = {"tree", "direct", "group"};              ///< sparse
  int repetitions = 9;
  std::string trace_path;  ///< recorded loads (.npy); empty: those cases are left out
};

/// All ranks must call. @param native empty: no comparison with the library.
/// @param report gets one record per figure; where it is kept matters on rank 0 alone.
/// @throws InvalidArgument for an unknown suite; NumericError when a result is wrong; IoError when
///   the trace cannot be read.
void run(const Communicator& world, const NativeCall& native, const Options& options,
         Report& report);

}  // namespace hecate::collectives::bench
