#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "collectives/placement.h"

namespace hecate::sharding {

/// The one owner of every expert of every layer: where its master parameters, gradients and
/// optimizer state live.
class Ownership {
 public:
  /// @param owner [layers, experts]. @throws InvalidArgument unless every owner is a device and
  ///   each device owns L * E / R experts over all layers, rounded down or up.
  Ownership(int layers, int experts, int devices, std::vector<int> owner);
  /// Of replicas that persist: devices own as many as it may be.
  /// @throws InvalidArgument unless every owner is a device.
  static Ownership uneven(int layers, int experts, int devices, std::vector<int> owner);

  int layers() const { return layers_; }
  int experts() const { return experts_; }
  int devices() const { return devices_; }
  int owner(int layer, int expert) const { return owner_[index(layer, expert)]; }
  /// [layers, experts].
  std::span<const int> all() const { return owner_; }
  /// Per expert of a layer.
  std::span<const int> layer(int l) const {
    return std::span<const int>(owner_).subspan(index(l, 0), static_cast<size_t>(experts_));
  }
  collectives::Placement placement(int l) const {
    return collectives::Placement::from_owners(layer(l), devices_);
  }
  /// Experts that a device owns in a layer, rising.
  std::vector<int> owned(int l, int device) const;
  bool operator==(const Ownership&) const = default;

 private:
  enum class Shares : bool { any, even };
  Ownership(int layers, int experts, int devices, std::vector<int> owner, Shares shares);
  size_t index(int layer, int expert) const {
    return static_cast<size_t>(layer) * static_cast<size_t>(experts_) + static_cast<size_t>(expert);
  }

  int layers_, experts_, devices_;
  std::vector<int> owner_;
};

/// Even sharding: in every layer each device owns E / R experts, neighbours together, rounded down
/// or up; the devices that own one more rotate over the layers, and over the nodes inside a layer,
/// so that totals over the layers differ by one at most. Also for R > E.
/// @param node_of per device. @throws InvalidArgument unless layers and experts are positive.
Ownership even_ownership(int layers, int experts, std::span<const int> node_of);

/// Heterogeneous sharding, algorithm 2 of arXiv 2502.02581: owners of all layers at once. Every
/// device has L * E / R slots (where that is no whole number, the first L * E % R have one more).
/// Experts outside their layer's t most loaded go, layers by falling maximum of those loads (then
/// the lower layer), experts by falling load, to the least loaded node with a free slot, there to
/// the least loaded device; ties: fewer free slots, then the lower index; loads count this layer.
/// The t most loaded of each layer fill what is left so that every device, and with it every node,
/// owns as even a share of each layer's hot experts as its free slots allow: no node's link sends
/// all of them. Among such choices they stay with `present`, else the least hot load is chosen.
/// @param loads [layers, experts]. @param t >= 0. @param present null, or the owners so far.
/// @throws InvalidArgument for sizes that disagree or a load that is negative or not finite.
Ownership reshard(std::span<const std::vector<double>> loads, int t, std::span<const int> node_of,
                  const Ownership* present = nullptr);

/// One expert that changes its owner, with all its state.
struct OwnerMove {
  int layer = 0, expert = 0, from = 0, to = 0;
  bool operator==(const OwnerMove&) const = default;
};
/// In order of layer, then expert. @throws InvalidArgument for other shapes.
std::vector<OwnerMove> moves(const Ownership& before, const Ownership& after);

}  // namespace hecate::sharding
