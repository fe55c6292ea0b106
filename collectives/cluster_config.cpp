#include "collectives/cluster_config.h"

#include <set>

#include "collectives/measure.h"

namespace hecate::collectives {
namespace {

bool complete(const Link& given) {
  return given.bytes_per_s > 0 && given.latency_s > 0;
}

void take(const Link& given, Link& link) {
  if (given.bytes_per_s > 0) link.bytes_per_s = given.bytes_per_s;
  if (given.latency_s > 0) link.latency_s = given.latency_s;
}

}  // namespace

CommunicatorOptions communicator_options(const ClusterConfig& config,
                                         const std::string& flight_directory) {
  CommunicatorOptions options;
  options.timeout = std::chrono::milliseconds(static_cast<int64_t>(config.timeout_seconds * 1e3));
  options.check_arguments = config.check_calls;
  options.ranks_per_node = static_cast<int>(config.ranks_per_node);
  options.flight_directory = flight_directory;
  return options;
}

Topology cluster_topology(const Communicator& communicator, const ClusterConfig& config,
                          const std::string& cache_path) {
  const Link inside{.bytes_per_s = config.inside_gb_per_s * 1e9,
                    .latency_s = config.inside_latency_us * 1e-6};
  const Link between{.bytes_per_s = config.between_gb_per_s * 1e9,
                     .latency_s = config.between_latency_us * 1e-6};
  const auto nodes = communicator.nodes();
  const size_t count = std::set<int>(nodes.begin(), nodes.end()).size();
  const bool has_between = count > 1, has_inside = count < nodes.size();
  const bool known = (!has_inside || complete(inside)) && (!has_between || complete(between));
  Topology topology{.node_of = {nodes.begin(), nodes.end()}, .inside = {}, .between = {}};
  if (!known) topology = measure_topology(communicator, {.cache_path = cache_path});
  take(inside, topology.inside);
  take(between, topology.between);
  check(topology);
  return topology;
}

}  // namespace hecate::collectives
