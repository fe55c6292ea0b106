#pragma once
#include "models/builder.h"

namespace hecate::models {

/// Puts the gathers of dense parameters and the reductions of their gradients into a graph, on the
/// dense lane. Adds nothing on one rank.
///
/// ZeRO-1: parameters before the first micro-batch's use of a bucket, gradients after the last
/// one's backward, each under the work of the layers around it.
/// ZeRO-3: layer l is gathered into its ring as soon as layer l - rings is done with it, forward
/// and backward, and a layer's gradient is reduced right after its backward, in every micro-batch.
/// What is still in place is not gathered again: the last layers when backward starts, the first
/// ones when the next micro-batch does, the embedding that is also the head.
///
/// Order on the lane (the same on all ranks, since all build the same graph): the bucket before the
/// layers; the layers, where each of the first ones comes with begin_layer; then, after layer l,
/// forward l + rings (the bucket after the layers counts as one more layer), backward l - rings and
/// the reduction of l.
class DenseOps {
 public:
  /// @param train gradients are reduced.
  DenseOps(Builder& b, bool train);

  /// Before the embedding.
  void begin(Builder& b) const { gather(b, 0); }
  /// Before the embedding, for each layer in turn.
  void begin_layer(Builder& b, int32_t layer) const;
  /// After all operations of the builder's layer.
  void after_forward(Builder& b) const;
  void after_backward(Builder& b) const;
  /// After the backward of what follows the layers, and of what precedes them.
  void reduce_last(Builder& b) const { reduce(b, layers_ + 1); }
  void reduce_first(Builder& b) const { reduce(b, 0); }

 private:
  void gather(Builder& b, int64_t bucket) const;
  void reduce(Builder& b, int64_t bucket) const;
  void enter(Builder& b, int64_t bucket, bool backward) const;
  bool stays(int64_t bucket) const;

  sharding::exec::DenseShards* shards_;
  bool train_;
  int64_t layers_, rings_;
};

}  // namespace hecate::models
