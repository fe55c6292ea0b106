#pragma once
#include <cstdint>
#include <vector>

#include "launcher/simulate/cluster_profile.h"
#include "runtime/graph/step_graph.h"
#include "sharding/sim/program.h"

/// The executor's graph as the simulator takes it.
namespace hecate::launcher {

/// What an operation moves between ranks.
enum class Moves : uint8_t {
  nothing,
  counts,       ///< every rank's counts to all ranks
  tokens,       ///< rows to their experts
  tokens_back,  ///< rows to where they came from
  gather,       ///< experts' parameters to their copies
  reduce,       ///< copies' gradients to their owners
  extend,       ///< what was added after the gate
  replicas,     ///< experts' state between domains
  dense,        ///< dense parameters or gradients of all ranks
};

struct StepProgram {
  sharding::sim::Program program;
  std::vector<Moves> moves;           ///< per operation
  std::vector<double> wire_bytes;     ///< per operation: of counts, replicas and dense ones
  std::vector<int> moe_layer;         ///< per operation: its layer among those with experts; -1
  std::vector<bool> gathers_again;    ///< per operation: a gather for backward
  std::vector<int> rows_layer;        ///< per row count: the layer among those with experts
  std::vector<bool> rows_of_experts;  ///< per row count: rows computed, else rows sent
};

/// Reads the operations of a graph that was built for several ranks: kinds, lanes, dependencies,
/// flops and bytes are the graph's own.
/// @param experts of a layer.
StepProgram step_program(const graph::StepGraph& graph, const ClusterProfile& profile,
                         int64_t experts, int64_t ranks);

}  // namespace hecate::launcher
