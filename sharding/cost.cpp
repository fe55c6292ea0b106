#include "sharding/cost.h"

#include <algorithm>
#include <vector>

#include "runtime/base/error.h"

namespace hecate::sharding {
namespace {

using collectives::Topology;

size_t at(int i) {
  return static_cast<size_t>(i);
}

// Bytes through every rank's port and every node's link, by direction.
class Traffic {
 public:
  explicit Traffic(const Topology& topology)
      : topology_(topology),
        port_{std::vector<double>(at(topology.ranks())), std::vector<double>(at(topology.ranks()))},
        link_{std::vector<double>(at(topology.nodes())),
              std::vector<double>(at(topology.nodes()))} {}

  void out_of_rank(int rank, double bytes) { port_[0][at(rank)] += bytes; }
  void into_rank(int rank, double bytes) { port_[1][at(rank)] += bytes; }
  void out_of_node(int node, double bytes) { link_[0][at(node)] += bytes; }
  void into_node(int node, double bytes) { link_[1][at(node)] += bytes; }

  double seconds() const {
    const double port = busiest(port_), link = busiest(link_);
    const double latency = link > 0   ? topology_.between.latency_s
                           : port > 0 ? topology_.inside.latency_s
                                      : 0.0;
    return latency +
           std::max(port / topology_.inside.bytes_per_s, link / topology_.between.bytes_per_s);
  }

 private:
  static double busiest(const std::vector<double> (&bytes)[2]) {
    return std::max(*std::max_element(bytes[0].begin(), bytes[0].end()),
                    *std::max_element(bytes[1].begin(), bytes[1].end()));
  }

  const Topology& topology_;
  std::vector<double> port_[2], link_[2];
};

}  // namespace

double exchange_seconds(const Topology& topology, std::span<const int64_t> rows, double row_bytes) {
  const int ranks = topology.ranks();
  HECATE_CHECK(rows.size() == at(ranks) * at(ranks), "exchange: ", rows.size(), " counts for ",
               ranks, " ranks squared");
  Traffic traffic(topology);
  for (int s = 0; s < ranks; ++s)
    for (int d = 0; d < ranks; ++d) {
      const double bytes = static_cast<double>(rows[at(s) * at(ranks) + at(d)]) * row_bytes;
      if (s == d || bytes == 0) continue;
      const int from = topology.node_of[at(s)], to = topology.node_of[at(d)];
      if (from == to) {
        traffic.out_of_rank(s, bytes);
        traffic.into_rank(d, bytes);
      } else {
        traffic.out_of_node(from, bytes);
        traffic.into_node(to, bytes);
      }
    }
  return traffic.seconds();
}

double layer_seconds(const LayerCost& cost, const DispatchPlan& plan) {
  int64_t most = 0;
  for (int d = 0; d < plan.devices(); ++d) most = std::max(most, plan.rows_on(d));
  return static_cast<double>(most) * cost.seconds_per_row +
         cost.exchanges * exchange_seconds(cost.topology, plan.rows_between(), cost.row_bytes);
}

double gather_seconds(const LayerCost& cost, const collectives::Placement& from,
                      const collectives::Placement& to, double chunk_bytes) {
  const auto& node_of = cost.topology.node_of;
  Traffic traffic(cost.topology);
  double crossing = 0;
  std::vector<char> reached(at(cost.topology.nodes()));
  for (int e = 0; e < to.experts(); ++e) {
    std::fill(reached.begin(), reached.end(), char{0});
    for (int d : from.holders(e)) reached[at(node_of[at(d)])] = 1;
    for (int d : to.holders(e)) {
      if (from.holds(e, d)) continue;
      const int node = node_of[at(d)];
      if (reached[at(node)] != 0) {
        traffic.into_rank(d, chunk_bytes);
      } else {
        reached[at(node)] = 1;
        traffic.into_node(node, chunk_bytes);
        crossing += chunk_bytes;
      }
    }
  }
  for (int n = 0; n < cost.topology.nodes(); ++n)
    traffic.out_of_node(n, crossing / cost.topology.nodes());
  return traffic.seconds();
}

double move_seconds(const LayerCost& cost, std::span<const OwnerMove> moves) {
  const size_t ranks = at(cost.topology.ranks());
  std::vector<int64_t> experts(ranks * ranks);
  for (const OwnerMove& move : moves) ++experts[at(move.from) * ranks + at(move.to)];
  return exchange_seconds(cost.topology, experts, cost.state_bytes);
}

}  // namespace hecate::sharding
