#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "collectives/placement.h"

namespace hecate::sharding {

enum class DispatchPolicy : uint8_t {
  nearest,    ///< stay, else the same node's holders, else the other ones; even split among equals
  level,      ///< replicas level the devices' total rows; the nearest among equals
  even,       ///< over all holders
  node_even,  ///< over the holders in the source's node, else over all
};
/// `nearest` or `level`. @throws InvalidArgument naming the known ones.
DispatchPolicy dispatch_policy(const std::string& name);

/// Rows of each expert on each of its holders, [expert][position among its holders].
using HolderRows = std::vector<std::vector<int64_t>>;

/// Rows of one (source, expert) that go to one holder.
struct DispatchPiece {
  int holder = 0;
  int64_t rows = 0;  ///< > 0
  bool operator==(const DispatchPiece&) const = default;
};

/// Where every token of one layer is computed. A source's tokens of one expert go to the pieces'
/// holders in contiguous runs, in token order, holders rising.
class DispatchPlan {
 public:
  DispatchPlan(int devices, int experts);

  int devices() const { return devices_; }
  int experts() const { return experts_; }
  std::span<const DispatchPiece> pieces(int source, int expert) const {
    const size_t at = index(source, expert);
    return {pieces_.data() + first_[at], pieces_.data() + first_[at + 1]};
  }
  int64_t rows(int source, int expert, int holder) const;
  /// [devices, devices]: from source s to holder d at s * devices + d, s = d included.
  std::span<const int64_t> rows_between() const { return between_; }
  int64_t rows_between(int source, int holder) const {
    return between_[static_cast<size_t>(source) * static_cast<size_t>(devices_) +
                    static_cast<size_t>(holder)];
  }
  /// Rows that a device computes.
  int64_t rows_on(int holder) const;
  /// [devices, experts]: what a holder gets of each source's tokens of each expert.
  std::vector<int64_t> received(int holder) const;

  /// Ends one (source, expert), in that order of nesting, after its add()s of rising holders.
  void add(int source, int holder, int64_t rows);
  void close_pair() { first_.push_back(pieces_.size()); }
  bool operator==(const DispatchPlan&) const = default;

 private:
  size_t index(int source, int expert) const {
    return static_cast<size_t>(source) * static_cast<size_t>(experts_) +
           static_cast<size_t>(expert);
  }

  int devices_, experts_;
  std::vector<size_t> first_;
  std::vector<DispatchPiece> pieces_;
  std::vector<int64_t> between_;
};

/// Topology-aware dispatch of one layer (arXiv 2502.02581, section 4.1). Pure; where a split leaves
/// a remainder, the holders that take one row more rotate with source + expert.
/// @param counts [devices, experts]: assignments that were not dropped, >= 0.
/// @param copies [experts, devices]: shares of `even` and `node_even` that a holder takes; empty:
///   one each.
/// @param node_of per device. @throws InvalidArgument when sizes disagree, a count is negative or
///   an expert with tokens has no holder.
DispatchPlan plan_dispatch(std::span<const int64_t> counts,
                           const collectives::Placement& materialized, std::span<const int> node_of,
                           DispatchPolicy policy = DispatchPolicy::nearest,
                           std::span<const int> copies = {});

/// The same with given numbers of rows for every holder: own tokens first, then the same node's,
/// then the rest, sources rising.
/// @param targets every expert's sum is that of its tokens. @throws as plan_dispatch, and
///   InvalidArgument for other targets.
DispatchPlan plan_dispatch_to(std::span<const int64_t> counts,
                              const collectives::Placement& materialized,
                              std::span<const int> node_of, HolderRows targets);

}  // namespace hecate::sharding
