#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace hecate::collectives {

/// The ranks of a communicator by node. Node numbers are dense, by first appearance.
class Group {
 public:
  Group(int rank, std::span<const int> nodes);

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(nodes_.size()); }
  int nodes() const { return static_cast<int>(members_.size()); }
  int node(int rank) const { return nodes_[static_cast<size_t>(rank)]; }
  /// Position among the ranks of its node.
  int local(int rank) const { return local_[static_cast<size_t>(rank)]; }
  /// Ranks of a node, rising.
  const std::vector<int>& members(int node) const { return members_[static_cast<size_t>(node)]; }
  /// The rank that stands for `node` in what concerns `owner`: the owner itself on its node.
  int leader(int node, int owner) const;
  std::span<const int> node_of_ranks() const { return nodes_; }

 private:
  int rank_;
  std::vector<int> nodes_, local_;
  std::vector<std::vector<int>> members_;
};

/// Numbers renamed 0.. by first appearance.
std::vector<int> dense_numbers(std::span<const int> labels);

}  // namespace hecate::collectives
