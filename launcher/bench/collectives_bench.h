#pragma once
#include <string>

#include "collectives/bench/bench.h"

namespace hecate::launcher {

struct CollectivesBenchOptions {
  collectives::bench::Options figures;
  int64_t threads = 2;         ///< ranks, where no mpirun started this process
  int64_t ranks_per_node = 0;  ///< 0: as found
  std::string directory;       ///< gets collectives.jsonl and collectives.svg; empty: none
};

/// Runs the figures on the ranks that mpirun started, or on threads of this process. The table goes
/// to standard output on rank 0. @throws as collectives::bench::run; IoError when the directory
/// cannot be written.
void bench_collectives(const CollectivesBenchOptions& options);

}  // namespace hecate::launcher
