#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/device/lane.h"

/// Bytes between ranks, counted where transfers are issued.
namespace hecate::collectives {

/// What a transfer belongs to.
enum class TrafficKind : uint8_t {
  sparse_gather,  ///< spAG
  sparse_reduce,  ///< spRS
  dispatch,       ///< rows of tokens to their experts
  combine,        ///< and back
  dense_gather,   ///< all_gather on lane dense
  dense_reduce,   ///< reduce_scatter, all_reduce and reduce on lane dense
  other,          ///< everything else, such as counts of tokens, moves of owners, checked arguments
};
inline constexpr size_t kTrafficKinds = 7;
std::string_view name_of(TrafficKind kind);
/// Of an operation as the flight record names it.
TrafficKind traffic_kind(std::string_view operation, LaneKind lane);

struct LinkBytes {
  int64_t sent = 0, received = 0;
  LinkBytes& operator+=(const LinkBytes& other);
  LinkBytes& operator-=(const LinkBytes& other);
  bool operator==(const LinkBytes&) const = default;
};

/// What one rank has exchanged with the ranks of a group, by lane and kind. Its link with itself
/// stays empty: what does not leave a rank is no traffic.
class Traffic {
 public:
  explicit Traffic(int ranks = 0);

  int ranks() const { return ranks_; }
  LinkBytes& link(LaneKind lane, TrafficKind kind, int peer) {
    return links_[index(ranks_, lane, kind, peer)];
  }
  const LinkBytes& link(LaneKind lane, TrafficKind kind, int peer) const {
    return links_[index(ranks_, lane, kind, peer)];
  }
  /// Over all lanes.
  LinkBytes link(TrafficKind kind, int peer) const;
  /// Over all lanes and peers.
  LinkBytes total(TrafficKind kind) const;
  /// What has come since an earlier snapshot of the same rank.
  Traffic& operator-=(const Traffic& earlier);

 private:
  friend class TrafficCounters;
  static size_t index(int ranks, LaneKind lane, TrafficKind kind, int peer) {
    return (static_cast<size_t>(lane) * kTrafficKinds + static_cast<size_t>(kind)) *
               static_cast<size_t>(ranks) +
           static_cast<size_t>(peer);
  }

  int ranks_;
  std::vector<LinkBytes> links_;  // [lane, kind, peer]
};

/// Counts for a rank. Thread-safe, lock-free: an addition per transfer.
class TrafficCounters {
 public:
  explicit TrafficCounters(int ranks);
  void add_sent(LaneKind lane, TrafficKind kind, int peer, int64_t bytes);
  void add_received(LaneKind lane, TrafficKind kind, int peer, int64_t bytes);
  /// Of the links with these ranks, numbered in their order.
  Traffic snapshot(std::span<const int> ranks) const;

 private:
  size_t index(LaneKind lane, TrafficKind kind, int peer) const {
    return Traffic::index(ranks_, lane, kind, peer);
  }

  int ranks_;
  std::vector<std::atomic<int64_t>> sent_, received_;  // [lane, kind, peer]
};

}  // namespace hecate::collectives
