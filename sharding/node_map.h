#pragma once
#include <span>
#include <vector>

namespace hecate::sharding {

/// Devices grouped into nodes.
class NodeMap {
 public:
  /// @param node_of per device. @throws InvalidArgument without devices or for a node below 0 or
  ///   not below the number of devices.
  explicit NodeMap(std::span<const int> node_of);

  int devices() const { return static_cast<int>(node_of_.size()); }
  int nodes() const { return static_cast<int>(members_.size()); }
  int node(int device) const { return node_of_[static_cast<size_t>(device)]; }
  std::span<const int> node_of() const { return node_of_; }
  /// A node's devices, rising; a node that no device names has none.
  std::span<const int> members(int node) const { return members_[static_cast<size_t>(node)]; }
  /// All devices, one node after the other in turn: the first of each, the second of each, ...
  std::vector<int> interleaved() const;

 private:
  std::vector<int> node_of_;
  std::vector<std::vector<int>> members_;
};

}  // namespace hecate::sharding
