#include "collectives/traffic.h"

#include <array>

#include "runtime/base/error.h"

namespace hecate::collectives {

std::string_view name_of(TrafficKind kind) {
  constexpr std::array<std::string_view, kTrafficKinds> kNames = {
      "sparse_gather", "sparse_reduce", "dispatch", "combine",
      "dense_gather",  "dense_reduce",  "other"};
  return kNames[static_cast<size_t>(kind)];
}

TrafficKind traffic_kind(std::string_view operation, LaneKind lane) {
  if (operation == "sparse_all_gather") return TrafficKind::sparse_gather;
  if (operation == "sparse_reduce_scatter") return TrafficKind::sparse_reduce;
  if (operation == "dispatch") return TrafficKind::dispatch;
  if (operation == "combine") return TrafficKind::combine;
  if (lane != LaneKind::dense) return TrafficKind::other;
  if (operation == "all_gather") return TrafficKind::dense_gather;
  if (operation == "reduce_scatter" || operation == "all_reduce" || operation == "reduce")
    return TrafficKind::dense_reduce;
  return TrafficKind::other;
}

LinkBytes& LinkBytes::operator+=(const LinkBytes& other) {
  sent += other.sent;
  received += other.received;
  return *this;
}

LinkBytes& LinkBytes::operator-=(const LinkBytes& other) {
  sent -= other.sent;
  received -= other.received;
  return *this;
}

Traffic::Traffic(int ranks)
    : ranks_(ranks), links_(kLanes * kTrafficKinds * static_cast<size_t>(ranks)) {}

LinkBytes Traffic::link(TrafficKind kind, int peer) const {
  LinkBytes sum;
  for (size_t lane = 0; lane < kLanes; ++lane) sum += link(static_cast<LaneKind>(lane), kind, peer);
  return sum;
}

LinkBytes Traffic::total(TrafficKind kind) const {
  LinkBytes sum;
  for (int peer = 0; peer < ranks_; ++peer) sum += link(kind, peer);
  return sum;
}

Traffic& Traffic::operator-=(const Traffic& earlier) {
  HECATE_CHECK(earlier.ranks_ == ranks_, "traffic: a snapshot of ", earlier.ranks_,
               " ranks taken from one of ", ranks_);
  for (size_t i = 0; i < links_.size(); ++i) links_[i] -= earlier.links_[i];
  return *this;
}

TrafficCounters::TrafficCounters(int ranks)
    : ranks_(ranks),
      sent_(kLanes * kTrafficKinds * static_cast<size_t>(ranks)),
      received_(kLanes * kTrafficKinds * static_cast<size_t>(ranks)) {}

void TrafficCounters::add_sent(LaneKind lane, TrafficKind kind, int peer, int64_t bytes) {
  sent_[index(lane, kind, peer)].fetch_add(bytes, std::memory_order_relaxed);
}

void TrafficCounters::add_received(LaneKind lane, TrafficKind kind, int peer, int64_t bytes) {
  received_[index(lane, kind, peer)].fetch_add(bytes, std::memory_order_relaxed);
}

Traffic TrafficCounters::snapshot(std::span<const int> ranks) const {
  const int count = static_cast<int>(ranks.size());
  Traffic traffic(count);
  for (size_t l = 0; l < kLanes; ++l)
    for (size_t k = 0; k < kTrafficKinds; ++k)
      for (int peer = 0; peer < count; ++peer) {
        const auto lane = static_cast<LaneKind>(l);
        const auto kind = static_cast<TrafficKind>(k);
        const size_t at = index(lane, kind, ranks[static_cast<size_t>(peer)]);
        traffic.link(lane, kind, peer) = {
            .sent = sent_[at].load(std::memory_order_relaxed),
            .received = received_[at].load(std::memory_order_relaxed)};
      }
  return traffic;
}

}  // namespace hecate::collectives
