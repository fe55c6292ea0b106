#include "sharding/exec/expert_replicas.h"

#include <vector>

#include "runtime/base/error.h"

namespace hecate::sharding::exec {

using collectives::Work;

ExpertReplicas::ExpertReplicas(ExpertStore& store, const collectives::Communicator& replicas)
    : store_(&store), replicas_(replicas) {
  HECATE_CHECK(store.share().index == replicas.rank() && store.share().count == replicas.size(),
               "expert replicas: the store has share ", store.share().index, " of ",
               store.share().count, ", the rank is ", replicas.rank(), " of ", replicas.size());
}

int64_t ExpertReplicas::layer_bytes() const {
  const ExpertChunks& chunks = store_->chunks();
  const int64_t owned =
      (chunks.experts + store_->owners().devices() - 1) / store_->owners().devices();
  return owned * chunks.elements * static_cast<int64_t>(sizeof(Real));
}

// The chunks' exchanges are all under way together.
template <class Start>
void ExpertReplicas::for_each_owned(int64_t layer, const Start& start) const {
  if (!exist()) return;
  std::vector<Work> works;
  for (int64_t e = 0; e < store_->chunks().experts; ++e)
    if (store_->owns(layer, e)) works.push_back(start(store_->chunk(layer, e)));
  collectives::wait_all(works);
}

void ExpertReplicas::gather(int64_t layer) {
  for_each_owned(layer, [this](const OwnedChunk& chunk) {
    return replicas_.all_gather_v(chunk.own_value, chunk.value, store_->slice_sizes(),
                                  dtype_of<Real>());
  });
}

void ExpertReplicas::reduce(int64_t layer) {
  for_each_owned(layer, [this](const OwnedChunk& chunk) {
    return replicas_.reduce_scatter_v(chunk.gradient, chunk.own_gradient, store_->slice_sizes(),
                                      dtype_of<Real>(), collectives::ReduceOp::sum);
  });
}

}  // namespace hecate::sharding::exec
