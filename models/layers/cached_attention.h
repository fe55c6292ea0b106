#pragma once
#include <functional>

#include "models/builder.h"
#include "models/layers/attention.h"

/// What both kinds of attention do with a cache of keys and values.
namespace hecate::models {

/// How an operation finds a [T, heads, size] view of what was computed before it.
using HeadsView = std::function<View<const Real>(OpContext&)>;

struct CachedHeads {
  std::vector<BufferId> reads;  ///< of the three views
  HeadsView queries, keys, values;
};

/// Puts the run's keys and values into the cache of inputs at their positions.
/// @return orders what reads the cache.
BufferId fill_cache(Builder& b, const AttentionInputs& inputs, const CachedHeads& heads);

/// The same, then attention of each sequence's one token over all of its positions so far.
/// @param out [B, H Nv], B sequences of one token.
void decode_attention(Builder& b, const AttentionInputs& inputs, const CachedHeads& heads,
                      Real scale, Shape out_shape, BufferId out);

}  // namespace hecate::models
