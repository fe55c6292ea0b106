#pragma once
#include <string>

#include "collectives/communicator.h"
#include "collectives/topology.h"

namespace hecate::collectives {

struct MeasureOptions {
  /// About how long the measurement of one kind of link may take.
  double seconds = 0.3;
  /// A file that keeps the result; used when it describes the same nodes and can be read. Empty:
  /// none.
  std::string cache_path;
};

/// The communicator's nodes with bandwidth and latency of both kinds of link, measured between
/// one pair of ranks each (the others wait), quantised, and equal on all ranks. All ranks must
/// call. A kind that does not occur gets the other one's figures.
/// @throws CommError as every collective; IoError when the cache cannot be written.
Topology measure_topology(const Communicator& communicator, const MeasureOptions& options = {});

}  // namespace hecate::collectives
