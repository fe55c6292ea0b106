#pragma once
#include <cstdint>
#include <vector>

#include "models/config.h"
#include "runtime/base/real.h"
#include "runtime/memory/ledger.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate::models {

/// Keys and values of the tokens that each layer's attention has seen, as attention reads them:
/// normed, with their rotary position, and of latent attention expanded per head. Graphs that are
/// given one fill it; graphs of mode decode read it as well.
class KvCache {
 public:
  /// Empty; layers of a causal model. The ledger outlives the cache.
  KvCache(const ModelConfig& model, int64_t sequences, MemoryLedger& ledger);

  /// Room for positions [0, tokens) of each sequence. What is held stays; views become invalid.
  void reserve(int64_t tokens);

  int64_t sequences() const { return sequences_; }
  int64_t capacity() const { return capacity_; }
  int64_t heads() const { return heads_; }
  int64_t key_size() const { return key_size_; }
  int64_t value_size() const { return value_size_; }
  /// [sequences, capacity, heads, key_size] and [sequences, capacity, heads, value_size].
  View<Real> keys(int32_t layer) const { return view(layer, keys_, key_size_); }
  View<Real> values(int32_t layer) const { return view(layer, values_, value_size_); }

 private:
  View<Real> view(int32_t layer, const std::vector<MemoryBlock>& blocks, int64_t size) const;
  void grow(std::vector<MemoryBlock>& blocks, int64_t size, int64_t tokens);

  MemoryLedger* ledger_;
  int64_t layers_, sequences_, heads_, key_size_, value_size_;
  int64_t capacity_ = 0;
  std::vector<MemoryBlock> keys_, values_;  // per layer
};

}  // namespace hecate::models
