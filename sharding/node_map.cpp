#include "sharding/node_map.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace hecate::sharding {

NodeMap::NodeMap(std::span<const int> node_of) : node_of_(node_of.begin(), node_of.end()) {
  HECATE_CHECK(!node_of.empty(), "plan: node_of names no device");
  for (size_t d = 0; d < node_of.size(); ++d)
    HECATE_CHECK(node_of[d] >= 0 && node_of[d] < devices(), "plan: device ", d, " is on node ",
                 node_of[d], ", expected 0..", devices() - 1);
  members_.resize(static_cast<size_t>(*std::max_element(node_of.begin(), node_of.end())) + 1);
  for (size_t d = 0; d < node_of.size(); ++d)
    members_[static_cast<size_t>(node_of[d])].push_back(static_cast<int>(d));
}

std::vector<int> NodeMap::interleaved() const {
  std::vector<int> order;
  for (size_t turn = 0; order.size() < node_of_.size(); ++turn)
    for (const auto& members : members_)
      if (turn < members.size()) order.push_back(members[turn]);
  return order;
}

}  // namespace hecate::sharding
