#include "collectives/sparse_schedule.h"

#include <algorithm>
#include <array>

#include "collectives/sparse_planner.h"
#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"group", "direct", "tree", "auto"};

void check_request(const SparseRequest& request) {
  HECATE_CHECK(request.materialized != nullptr && request.topology != nullptr,
               "sparse plan: no placement or no topology");
  const Placement& placement = *request.materialized;
  const auto experts = static_cast<size_t>(placement.experts());
  HECATE_CHECK(request.owners.size() == experts && request.chunk_bytes.size() == experts,
               "sparse plan: ", experts, " experts, ", request.owners.size(), " owners, ",
               request.chunk_bytes.size(), " sizes");
  HECATE_CHECK(placement.devices() == request.topology->ranks(),
               "sparse plan: ", placement.devices(), " devices, ", request.topology->ranks(),
               " ranks");
  HECATE_CHECK(request.segment_bytes > 0, "sparse plan: segments of ", request.segment_bytes);
  for (int e = 0; e < placement.experts(); ++e) {
    const auto i = static_cast<size_t>(e);
    HECATE_CHECK(request.chunk_bytes[i] >= 0, "sparse plan: chunk ", e, " has ",
                 request.chunk_bytes[i], " bytes");
    HECATE_CHECK(placement.holds(e, request.owners[i]), "sparse plan: expert ", e,
                 " is not held by its owner, rank ", request.owners[i]);
  }
}

SparseSchedule plan_with(const SparseRequest& request, bool reduce, SparseAlgorithm algorithm) {
  SparsePlanner planner(request, reduce);
  return planner.plan(algorithm);
}

SparseSchedule plan(const SparseRequest& request, bool reduce) {
  check_request(request);
  if (request.algorithm != SparseAlgorithm::automatic)
    return plan_with(request, reduce, request.algorithm);
  SparsePlanner planner(request, reduce);
  SparseSchedule best = planner.plan(SparseAlgorithm::tree);
  if (planner.direct_bound() >= best.modelled_seconds) return best;
  SparseSchedule direct = plan_with(request, reduce, SparseAlgorithm::direct);
  return direct.modelled_seconds < best.modelled_seconds ? direct : best;
}

}  // namespace

std::string_view name_of(SparseAlgorithm algorithm) {
  return kNames[static_cast<size_t>(algorithm)];
}

SparseAlgorithm sparse_algorithm(std::string_view name) {
  const auto at = std::find(kNames.begin(), kNames.end(), name);
  HECATE_CHECK(at != kNames.end(), "sparse algorithm '", name,
               "': expected group, direct, tree or auto");
  return static_cast<SparseAlgorithm>(at - kNames.begin());
}

SparseSchedule plan_gather(const SparseRequest& request) {
  return plan(request, /*reduce=*/false);
}

SparseSchedule plan_reduce(const SparseRequest& request) {
  return plan(request, /*reduce=*/true);
}

SparseSchedule plan_broadcast(std::span<const int> node_of, int root, int64_t bytes,
                              int64_t segment_bytes) {
  // Only the ratio matters here: inside a node is faster than between.
  Topology topology{.node_of = {node_of.begin(), node_of.end()},
                    .inside = {.bytes_per_s = 8e9, .latency_s = 1e-6},
                    .between = {.bytes_per_s = 1e9, .latency_s = 2e-5}};
  Placement everywhere(1, topology.ranks());
  everywhere.add_everywhere(0);
  // A message of one segment goes down in the fewest hops; a chain pays with several.
  const bool one_node = topology.nodes() == 1;
  const int owners[] = {root};
  const int64_t sizes[] = {bytes};
  return plan_gather({.owners = owners,
                      .materialized = &everywhere,
                      .chunk_bytes = sizes,
                      .topology = &topology,
                      .algorithm = one_node && bytes <= segment_bytes ? SparseAlgorithm::group
                                                                      : SparseAlgorithm::tree,
                      .segment_bytes = segment_bytes});
}

}  // namespace hecate::collectives
