#include "collectives/bench/bulk.h"

namespace hecate::collectives::bench {

Bulk::Bulk(const Context& context, int64_t bytes) : comm_(context.world.on_lane(LaneKind::sparse)) {
  const int n = comm_.size();
  Placement everywhere(n, n);
  std::vector<int> owners;
  for (int e = 0; e < n; ++e) {
    owners.push_back(e);
    everywhere.add_everywhere(e);
    chunks_.emplace_back(static_cast<size_t>(bytes / 4), static_cast<float>(e));
    data_.push_back(chunks_.back().data());
  }
  const std::vector<int64_t> sizes(static_cast<size_t>(n), bytes);
  schedule_ = plan_gather({.owners = owners,
                           .materialized = &everywhere,
                           .chunk_bytes = sizes,
                           .topology = &context.topology,
                           .algorithm = SparseAlgorithm::automatic,
                           .segment_bytes = kSegmentBytes});
}

Work Bulk::start() const {
  return sparse_all_gather(comm_, schedule_, data_, DType::f32, DType::f32);
}

}  // namespace hecate::collectives::bench
