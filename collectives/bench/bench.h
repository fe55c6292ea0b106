#pragma once
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "collectives/communicator.h"
#include "collectives/topology.h"

/// Figures of the collectives: `hecate bench collectives`.
///
/// A time is the median over repetitions of the slowest rank's time, all ranks starting from a
/// barrier; ours and the library's calls alternate in one run, and results are verified.
/// Algorithm bandwidth: bytes / time, where bytes is what one rank gives in for broadcast and
/// all_reduce, and the size over all ranks for all_gather, reduce_scatter and all_to_all.
/// Bus bandwidth: algorithm bandwidth times what every rank's link has to carry of a byte:
/// 2 (R-1) / R for all_reduce, (R-1) / R for all_gather, reduce_scatter and all_to_all,
/// 1 for broadcast.
namespace hecate::collectives::bench {

enum class Dense : uint8_t { all_reduce, all_gather, reduce_scatter, broadcast, all_to_all };
/// The library's own call of f32 (counts as in the Communicator's), blocking. @return seconds.
using NativeCall = std::function<double(Dense, const void* in, void* out, int64_t count)>;

struct Options {
  /// dense, sparse, overlap, tokens, plan.
  std::vector<std::string> suites = {"dense", "sparse", "overlap", "tokens", "plan"};
  std::vector<int64_t> sizes = {64 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20};  ///< dense, bytes
  std::vector<int64_t> expert_bytes = {1 << 20, 4 << 20, 16 << 20};               ///< sparse
  int repetitions = 9;
  std::string trace_path;         ///< recorded loads (.npy); empty: those cases are left out
  std::ostream* jsonl = nullptr;  ///< one object per figure, on rank 0
  std::ostream* table = nullptr;  ///< the same for people, on rank 0
};

/// All ranks must call. @param native empty: no comparison with the library.
/// @throws InvalidArgument for an unknown suite; NumericError when a result is wrong.
void run(const Communicator& world, const NativeCall& native, const Options& options);

}  // namespace hecate::collectives::bench
