#include "sharding/exec/expert_replicas.h"

#include <algorithm>
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
  const int64_t layers = std::max<int64_t>(1, store_->chunks().layers);
  return (store_->slots() + layers - 1) / layers * store_->portion_of(store_->rank()).size() *
         static_cast<int64_t>(sizeof(Real));
}

// The chunks' exchanges are all under way together.
template <class Start>
void ExpertReplicas::for_each_resident(int64_t layer, const Start& start) const {
  if (!exist()) return;
  std::vector<Work> works;
  for (int64_t e = 0; e < store_->chunks().experts; ++e)
    if (store_->resides(layer, e)) works.push_back(start(store_->chunk(layer, e)));
  collectives::wait_all(works);
}

void ExpertReplicas::gather(int64_t layer) {
  for_each_resident(layer, [this](const OwnedChunk& chunk) {
    return replicas_.all_gather_v(chunk.own_value, chunk.value, store_->slice_sizes(),
                                  dtype_of<Real>());
  });
}

void ExpertReplicas::reduce(int64_t layer) {
  for_each_resident(layer, [this](const OwnedChunk& chunk) {
    return replicas_.reduce_scatter_v(chunk.gradient, chunk.own_gradient, store_->slice_sizes(),
                                      dtype_of<Real>(), collectives::ReduceOp::sum);
  });
}

}  // namespace hecate::sharding::exec
