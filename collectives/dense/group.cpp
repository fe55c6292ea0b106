#include "collectives/dense/group.h"

#include <algorithm>

namespace hecate::collectives {

std::vector<int> dense_numbers(std::span<const int> labels) {
  std::vector<int> seen, dense;
  for (int label : labels) {
    const auto at = std::find(seen.begin(), seen.end(), label);
    dense.push_back(static_cast<int>(at - seen.begin()));
    if (at == seen.end()) seen.push_back(label);
  }
  return dense;
}

Group::Group(int rank, std::span<const int> nodes) : rank_(rank), nodes_(dense_numbers(nodes)) {
  for (int r = 0; r < size(); ++r) {
    const auto node_index = static_cast<size_t>(node(r));
    if (node_index == members_.size()) members_.emplace_back();
    local_.push_back(static_cast<int>(members_[node_index].size()));
    members_[node_index].push_back(r);
  }
}

int Group::leader(int node_index, int owner) const {
  if (node(owner) == node_index) return owner;
  const auto& ranks = members(node_index);
  return ranks[static_cast<size_t>(local(owner)) % ranks.size()];
}

}  // namespace hecate::collectives
