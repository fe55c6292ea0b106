#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hecate::collectives {

/// One direction of a connection.
struct Link {
  double bytes_per_s = 1e9;
  double latency_s = 1e-6;
};

/// Which ranks share a node and how fast they reach each other. Every node hangs on a
/// non-blocking switch by one full-duplex link; every rank has one full-duplex port inside its
/// node.
struct Topology {
  std::vector<int> node_of;  ///< per rank; nodes numbered 0.. without gaps
  Link inside;               ///< a rank's port
  Link between;              ///< a node's link, shared by its ranks

  int ranks() const { return static_cast<int>(node_of.size()); }
  int nodes() const;
  /// The slower of the two kinds that a transfer between the ranks uses.
  const Link& link(int source, int destination) const;

  /// `ranks` ranks, filled into nodes in order. @throws InvalidArgument unless both are positive.
  static Topology uniform(int ranks, int ranks_per_node, Link inside, Link between);
};

/// The topology of some of the ranks, numbered by their place in `ranks`; nodes by first
/// appearance.
Topology topology_of(const Topology& whole, std::span<const int> ranks);

/// @throws InvalidArgument when a node number is negative or missing, or a link is not positive.
void check(const Topology& topology);

/// Rounded to three significant digits, so that a plan does not follow the noise of measurement.
Topology quantised(Topology topology);

/// One line of text, and back. @throws InvalidArgument for text that is no topology.
std::string to_text(const Topology& topology);
Topology topology_from_text(const std::string& text);

}  // namespace hecate::collectives
