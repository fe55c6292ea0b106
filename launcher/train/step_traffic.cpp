#include "launcher/train/step_traffic.h"

#include <algorithm>
#include <span>
#include <vector>

namespace hecate::launcher {

using collectives::kTrafficKinds;
using collectives::LinkBytes;
using collectives::TrafficKind;

StepTraffic sum_traffic(const collectives::Traffic& own, const collectives::Communicator& ranks) {
  const std::span<const int> node_of = ranks.nodes();
  const auto nodes = static_cast<size_t>(1 + *std::ranges::max_element(node_of));
  const auto here = static_cast<size_t>(node_of[static_cast<size_t>(ranks.rank())]);
  const size_t row = 1 + 2 * nodes;  // sent to anybody, out of each node, into each node
  std::vector<int64_t> sums(kTrafficKinds * row, 0);
  for (size_t kind = 0; kind < kTrafficKinds; ++kind)
    for (int peer = 0; peer < ranks.size(); ++peer) {
      const LinkBytes link = own.link(static_cast<TrafficKind>(kind), peer);
      sums[kind * row] += link.sent;
      if (static_cast<size_t>(node_of[static_cast<size_t>(peer)]) == here) continue;
      sums[kind * row + 1 + here] += link.sent;
      sums[kind * row + 1 + nodes + here] += link.received;
    }
  ranks
      .all_reduce(sums.data(), sums.data(), std::ssize(sums), DType::i64,
                  collectives::ReduceOp::sum)
      .wait();
  StepTraffic traffic;
  std::vector<int64_t> all(2 * nodes, 0);
  for (size_t kind = 0; kind < kTrafficKinds; ++kind) {
    const std::span<const int64_t> links = std::span(sums).subspan(kind * row + 1, 2 * nodes);
    traffic.sent_bytes[kind] = sums[kind * row];
    traffic.busiest_link_bytes[kind] = *std::ranges::max_element(links);
    for (size_t i = 0; i < links.size(); ++i) all[i] += links[i];
  }
  traffic.busiest_link_bytes_of_all = *std::ranges::max_element(all);
  return traffic;
}

}  // namespace hecate::launcher
