#include "collectives/topology.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

double three_digits(double value) {
  const double scale = std::pow(10.0, std::floor(std::log10(value)) - 2);
  return std::round(value / scale) * scale;
}

Link three_digits(const Link& link) {
  return {.bytes_per_s = three_digits(link.bytes_per_s), .latency_s = three_digits(link.latency_s)};
}

void check_link(const char* name, const Link& link) {
  HECATE_CHECK(link.bytes_per_s > 0 && std::isfinite(link.bytes_per_s), "topology: link ", name,
               " has ", link.bytes_per_s, " bytes/s");
  HECATE_CHECK(link.latency_s > 0 && std::isfinite(link.latency_s), "topology: link ", name,
               " has a latency of ", link.latency_s, " s");
}

}  // namespace

int Topology::nodes() const {
  return node_of.empty() ? 0 : *std::max_element(node_of.begin(), node_of.end()) + 1;
}

Topology topology_of(const Topology& whole, std::span<const int> ranks) {
  Topology part{.node_of = {}, .inside = whole.inside, .between = whole.between};
  std::vector<int> nodes;
  for (int rank : ranks) {
    HECATE_CHECK(rank >= 0 && rank < whole.ranks(), "topology: rank ", rank, " of ", whole.ranks());
    const int node = whole.node_of[static_cast<size_t>(rank)];
    const auto at = std::find(nodes.begin(), nodes.end(), node);
    part.node_of.push_back(static_cast<int>(at - nodes.begin()));
    if (at == nodes.end()) nodes.push_back(node);
  }
  return part;
}

const Link& Topology::link(int source, int destination) const {
  const bool same =
      node_of[static_cast<size_t>(source)] == node_of[static_cast<size_t>(destination)];
  return same ? inside : between;
}

Topology Topology::uniform(int ranks, int ranks_per_node, Link inside, Link between) {
  HECATE_CHECK(ranks > 0 && ranks_per_node > 0, "topology: ", ranks, " ranks, ", ranks_per_node,
               " per node");
  Topology topology{.node_of = {}, .inside = inside, .between = between};
  for (int r = 0; r < ranks; ++r) topology.node_of.push_back(r / ranks_per_node);
  check(topology);
  return topology;
}

void check(const Topology& topology) {
  HECATE_CHECK(!topology.node_of.empty(), "topology: no ranks");
  std::vector<bool> seen(static_cast<size_t>(topology.ranks()));
  for (int node : topology.node_of) {
    HECATE_CHECK(node >= 0 && node < topology.ranks(), "topology: node ", node, " of ",
                 topology.ranks(), " ranks");
    seen[static_cast<size_t>(node)] = true;
  }
  for (int node = 0; node < topology.nodes(); ++node)
    HECATE_CHECK(seen[static_cast<size_t>(node)], "topology: node ", node, " has no rank");
  check_link("inside", topology.inside);
  check_link("between", topology.between);
}

Topology quantised(Topology topology) {
  topology.inside = three_digits(topology.inside);
  topology.between = three_digits(topology.between);
  return topology;
}

std::string to_text(const Topology& topology) {
  std::ostringstream out;
  out.precision(17);
  out << "topology " << topology.inside.bytes_per_s << ' ' << topology.inside.latency_s << ' '
      << topology.between.bytes_per_s << ' ' << topology.between.latency_s;
  for (int node : topology.node_of) out << ' ' << node;
  return out.str();
}

Topology topology_from_text(const std::string& text) {
  std::istringstream in(text);
  std::string tag;
  Topology topology;
  in >> tag >> topology.inside.bytes_per_s >> topology.inside.latency_s >>
      topology.between.bytes_per_s >> topology.between.latency_s;
  HECATE_CHECK(in && tag == "topology", "topology: cannot read '", text, "'");
  for (int node = 0; in >> node;) topology.node_of.push_back(node);
  check(topology);
  return topology;
}

}  // namespace hecate::collectives
