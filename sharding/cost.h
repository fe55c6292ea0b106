#pragma once
#include <cstdint>
#include <span>

#include "collectives/placement.h"
#include "collectives/topology.h"
#include "sharding/dispatch.h"
#include "sharding/ownership.h"

namespace hecate::sharding {

/// What a layer's work costs; measured once and equal on all ranks.
struct LayerCost {
  collectives::Topology topology;
  double seconds_per_row = 0;  ///< expert compute of one row, forward and backward
  double row_bytes = 0;        ///< of one row in one exchange
  int exchanges = 4;           ///< dispatch and combine, forward and backward
  double gather_bytes = 0;     ///< of one expert's parameters on the wire
  double reduce_bytes = 0;     ///< of one expert's gradients on the wire
  double reduce_exposed = 0;   ///< share of an extra copy's reduction that nothing hides, 0..1
  double state_bytes = 0;      ///< that move with an owner: master, moments; 0: moving is free
};

/// Time that moving `rows` [R,R] (from s to d at s * R + d) of `row_bytes` takes: the busiest node
/// link or rank port, each direction for itself, and one latency if anything moves.
double exchange_seconds(const collectives::Topology& topology, std::span<const int64_t> rows,
                        double row_bytes);

/// The slowest device's expert compute and all exchanges of the layer.
double layer_seconds(const LayerCost& cost, const DispatchPlan& plan);

/// Lower bound of a gather from the holders of `from` to those of `to` (a superset): a chunk enters
/// a node once, relays share the sending.
double gather_seconds(const LayerCost& cost, const collectives::Placement& from,
                      const collectives::Placement& to, double chunk_bytes);

/// Time that moving experts to new owners takes, all at once and hidden by nothing.
double move_seconds(const LayerCost& cost, std::span<const OwnerMove> moves);

}  // namespace hecate::sharding
