#include "sharding/balanced/problem.h"

#include "runtime/base/error.h"

namespace hecate::sharding::balanced {

Objective objective(const std::string& name) {
  if (name == "time") return Objective::time;
  if (name == "balance") return Objective::balance;
  throw InvalidArgument(concat("objective '", name, "' is unknown; known: time, balance"));
}

Model model_hiding(LayerCost cost, int t, Objective objective) {
  const auto& link = cost.topology.nodes() > 1 ? cost.topology.between : cost.topology.inside;
  const auto seconds = [&](double bytes) {
    return t == 0 ? 0 : link.latency_s + t * bytes / link.bytes_per_s;
  };
  const double gather = seconds(cost.gather_bytes), reduce = seconds(cost.reduce_bytes);
  return {.cost = std::move(cost),
          .hidden_gather_seconds = gather,
          .hidden_reduce_seconds = reduce,
          .objective = objective};
}

std::vector<int64_t> rows_by_node(std::span<const int64_t> counts, int experts,
                                  const NodeMap& nodes) {
  HECATE_CHECK(std::ssize(counts) == int64_t{nodes.devices()} * experts,
               "balanced plan: ", counts.size(), " counts for ", nodes.devices(), " devices x ",
               experts, " experts");
  const auto width = static_cast<size_t>(experts);
  std::vector<int64_t> rows(static_cast<size_t>(nodes.nodes()) * width);
  for (int d = 0; d < nodes.devices(); ++d) {
    const auto from = counts.subspan(static_cast<size_t>(d) * width, width);
    const auto to = std::span(rows).subspan(static_cast<size_t>(nodes.node(d)) * width, width);
    for (size_t e = 0; e < width; ++e) to[e] += from[e];
  }
  return rows;
}

}  // namespace hecate::sharding::balanced
