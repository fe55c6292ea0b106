#pragma once
#include "models/builder.h"

namespace hecate::models {

/// Puts the gathers of dense parameters and the reductions of their gradients into a graph, on the
/// dense lane: parameters before the first micro-batch's use of a bucket, gradients after the last
/// one's backward, each under the work of the layers around it. Adds nothing on one rank.
class DenseOps {
 public:
  explicit DenseOps(Builder& b);

  /// The bucket before the layers, of the builder's layer, and after the layers.
  void gather_first(Builder& b) const { gather(b, 0); }
  void gather_layer(Builder& b) const { gather(b, 1 + b.layer()); }
  void gather_last(Builder& b) const { gather(b, last_); }
  void reduce_first(Builder& b) const { reduce(b, 0); }
  void reduce_layer(Builder& b) const { reduce(b, 1 + b.layer()); }
  void reduce_last(Builder& b) const { reduce(b, last_); }

 private:
  void gather(Builder& b, int64_t bucket) const;
  void reduce(Builder& b, int64_t bucket) const;

  sharding::exec::DenseShards* shards_;
  int64_t last_;
};

}  // namespace hecate::models
