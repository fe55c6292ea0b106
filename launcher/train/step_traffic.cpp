#include "launcher/train/step_traffic.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace hecate::launcher {

using collectives::kTrafficKinds;
using collectives::LinkBytes;
using collectives::TrafficKind;

namespace {

constexpr size_t kVitals = 4 + kMemoryCategories;

void pack(const RankVitals& vitals, std::span<int64_t> numbers) {
  numbers[0] = vitals.compute_ns;
  numbers[1] = vitals.waited_ns;
  numbers[2] = vitals.data_ns;
  numbers[3] = vitals.peak_total_bytes;
  std::ranges::copy(vitals.peak_bytes, numbers.begin() + 4);
}

RankVitals unpack(std::span<const int64_t> numbers) {
  RankVitals vitals{.compute_ns = numbers[0],
                    .waited_ns = numbers[1],
                    .data_ns = numbers[2],
                    .peak_total_bytes = numbers[3]};
  std::copy_n(numbers.begin() + 4, kMemoryCategories, vitals.peak_bytes.begin());
  return vitals;
}

}  // namespace

int slowest_rank(std::span<const RankVitals> ranks) {
  return static_cast<int>(std::ranges::max_element(ranks, {}, &RankVitals::busy_seconds) -
                          ranks.begin());
}

StepTraffic sum_traffic(const collectives::Traffic& own, const collectives::Communicator& ranks,
                        std::span<RankVitals> vitals) {
  HECATE_CHECK(std::ssize(vitals) == ranks.size(), "vitals of ", vitals.size(), " ranks, expected ",
               ranks.size());
  const std::span<const int> node_of = ranks.nodes();
  const auto nodes = static_cast<size_t>(1 + *std::ranges::max_element(node_of));
  const auto here = static_cast<size_t>(node_of[static_cast<size_t>(ranks.rank())]);
  const size_t row = 1 + 2 * nodes;  // sent to anybody, out of each node, into each node
  const size_t shared = kTrafficKinds * row;
  std::vector<int64_t> sums(shared + vitals.size() * kVitals, 0);
  const auto me = static_cast<size_t>(ranks.rank());
  pack(vitals[me], std::span(sums).subspan(shared + me * kVitals, kVitals));
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
    for (const int64_t out : links.first(nodes)) traffic.between_nodes_bytes[kind] += out;
    for (size_t i = 0; i < links.size(); ++i) all[i] += links[i];
  }
  traffic.busiest_link_bytes_of_all = *std::ranges::max_element(all);
  for (size_t rank = 0; rank < vitals.size(); ++rank)
    vitals[rank] = unpack(std::span(sums).subspan(shared + rank * kVitals, kVitals));
  return traffic;
}

}  // namespace hecate::launcher
