#pragma once
#include <cstdint>
#include <string>

#include "collectives/communicator.h"
#include "collectives/topology.h"
#include "runtime/base/config_fields.h"

namespace hecate::collectives {

/// Table `cluster`: which ranks share a node, how fast links are, how long to wait for a peer.
struct ClusterConfig {
  int64_t ranks_per_node = 0;
  double inside_gb_per_s = 0;
  double inside_latency_us = 0;
  double between_gb_per_s = 0;
  double between_latency_us = 0;
  double timeout_seconds = 300;
  bool check_calls = false;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("ranks_per_node", self.ranks_per_node,
          "ranks that share a node, nodes filled in rank order; 0: as the launcher placed them",
          at_least(0));
    visit("inside_gb_per_s", self.inside_gb_per_s,
          "bandwidth of a rank's port inside its node, 10^9 bytes/s; 0: measured", at_least(0));
    visit("inside_latency_us", self.inside_latency_us,
          "latency inside a node, microseconds; 0: measured", at_least(0));
    visit("between_gb_per_s", self.between_gb_per_s,
          "bandwidth of a node's link, each way, 10^9 bytes/s; 0: measured", at_least(0));
    visit("between_latency_us", self.between_latency_us,
          "latency between nodes, microseconds; 0: measured", at_least(0));
    visit("timeout_seconds", self.timeout_seconds,
          "how long a rank waits for the others before it gives up", at_least(0.001));
    visit("check_calls", self.check_calls,
          "compare the ranks' arguments before every collective (slow; finds bugs)", any());
  }
};

/// What to open a world with. @param flight_directory see CommunicatorOptions.
CommunicatorOptions communicator_options(const ClusterConfig& config,
                                         const std::string& flight_directory = {});

/// The communicator's nodes with the links that the configuration gives; what it leaves open and
/// the nodes have is measured, once, as measure_topology() does. All ranks must call, with equal
/// configurations. Equal on all ranks.
/// @param cache_path keeps what was measured; empty: nothing does.
Topology cluster_topology(const Communicator& communicator, const ClusterConfig& config,
                          const std::string& cache_path = {});

}  // namespace hecate::collectives
