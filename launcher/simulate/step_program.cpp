#include "launcher/simulate/step_program.h"

#include <algorithm>
#include <set>
#include <string>

#include "runtime/base/real.h"

namespace hecate::launcher {
namespace {

using graph::OpKind;
using sharding::sim::When;

constexpr double kReal = sizeof(Real);

Moves moves_of(const graph::Op& op) {
  switch (op.kind) {
    case OpKind::dispatch:
      return op.cost.rows.valid() ? Moves::tokens : Moves::counts;
    case OpKind::combine:
      return Moves::tokens_back;
    case OpKind::expert_gather:
      return op.lane == LaneKind::dense ? Moves::replicas : Moves::gather;
    case OpKind::expert_reduce:
      return op.lane == LaneKind::dense ? Moves::replicas : Moves::reduce;
    case OpKind::calibrate:
      return Moves::extend;
    case OpKind::dense_gather:
    case OpKind::dense_reduce:
      return Moves::dense;
    default:
      return Moves::nothing;
  }
}

// What travels: the graph counts this build's numbers.
double wire_bytes_of(const graph::Op& op, const ClusterProfile& profile, Moves moves) {
  if (moves == Moves::counts) return op.cost.bytes;
  const bool gradients = op.kind == OpKind::dense_reduce || op.kind == OpKind::expert_reduce;
  return op.cost.bytes / kReal * (gradients ? profile.bytes.gradient : profile.bytes.parameter);
}

sharding::sim::Op op_of(const graph::Op& op, const ClusterProfile& profile, double host_seconds) {
  const double scale = profile.bytes.activation / kReal;
  sharding::sim::Op out{.name = op.name,
                        .kind = static_cast<int>(op.kind),
                        .lane = static_cast<int>(op.lane),
                        .layer = op.layer,
                        .backward = op.backward,
                        .when = static_cast<When>(op.when),
                        .host = op.lane == LaneKind::host,
                        .seconds = host_seconds,
                        .flops = op.cost.flops,
                        .bytes = op.cost.bytes,
                        .rows = op.cost.rows.index,
                        .flops_per_row = op.cost.flops_per_row,
                        .bytes_per_row = op.cost.bytes_per_row * scale,
                        .bytes_per_group = 0,
                        .after = op.depends_on};
  // Optimizer state stays what it is.
  if (op.kind != OpKind::optimizer) out.bytes *= scale;
  // Two flops per row and element: an expert's matrix is read (or its gradient written) once.
  if (op.kind == OpKind::expert_gemm)
    out.bytes_per_group = op.cost.flops_per_row / 2 * profile.bytes.parameter;
  return out;
}

// "layers.7.ffn.rows" -> 7.
int layer_of(const std::string& name) {
  return std::stoi(name.substr(name.find('.') + 1));
}

void add_rows(const graph::StepGraph& graph, StepProgram& out) {
  std::set<int> layers;
  for (const std::string& name : graph.row_names()) layers.insert(layer_of(name));
  const std::vector<int> order(layers.begin(), layers.end());
  const auto ordinal = [&](int layer) {
    const auto found = std::ranges::lower_bound(order, layer);
    return found != order.end() && *found == layer ? static_cast<int>(found - order.begin()) : -1;
  };
  for (const std::string& name : graph.row_names()) {
    out.rows_layer.push_back(ordinal(layer_of(name)));
    out.rows_of_experts.push_back(name.ends_with(".expert_rows"));
  }
  for (const graph::Op& op : graph.ops())
    out.moe_layer.push_back(op.layer < 0 ? -1 : ordinal(op.layer));
}

}  // namespace

StepProgram step_program(const graph::StepGraph& graph, const ClusterProfile& profile,
                         int64_t experts, int64_t ranks) {
  StepProgram out;
  const double host = 1e-6 * profile.device.host_us +
                      1e-9 * profile.device.plan_ns * static_cast<double>(experts * ranks);
  for (const graph::Op& op : graph.ops()) {
    const Moves moves = moves_of(op);
    out.program.ops.push_back(op_of(op, profile, host));
    out.moves.push_back(moves);
    out.wire_bytes.push_back(wire_bytes_of(op, profile, moves));
    out.gathers_again.push_back(moves == Moves::gather && op.backward);
  }
  out.program.rows = static_cast<int>(graph.row_names().size());
  out.program.urgent[static_cast<size_t>(LaneKind::dispatch)] = true;
  add_rows(graph, out);
  return out;
}

}  // namespace hecate::launcher
