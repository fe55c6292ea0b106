#pragma once
#include <cstdint>

#include "collectives/communicator.h"
#include "sharding/exec/expert_store.h"

namespace hecate::sharding::exec {

/// An expert has an owner in every domain, and these owners share its state: each keeps a slice of
/// masters and moments, sums the slice's gradient over the domains and updates it; before use the
/// slices are put together again (ZeRO-1 over the domains). Both methods are collectives of the
/// ranks at one place of all domains, which have the same experts (or slices of experts): all must
/// call, layers in the same order. With one domain they do nothing.
class ExpertReplicas {
 public:
  /// @param replicas by number of the domain. The store outlives the object.
  ExpertReplicas(ExpertStore& store, const collectives::Communicator& replicas);

  bool exist() const { return replicas_.size() > 1; }
  /// Bytes of what a rank has of one layer's experts, in the mean of the layers, rounded up.
  int64_t layer_bytes() const;

  /// Whole values of the layer's experts that the rank has <- the slices. Blocks.
  void gather(int64_t layer);
  /// The slice's gradients <- sums of the domains' whole ones. Blocks.
  void reduce(int64_t layer);

 private:
  template <class Start>
  void for_each_resident(int64_t layer, const Start& start) const;

  ExpertStore* store_;
  collectives::Communicator replicas_;
};

}  // namespace hecate::sharding::exec
