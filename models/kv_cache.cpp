#include "models/kv_cache.h"

#include <algorithm>

namespace hecate::models {
namespace {

Real* data_of(const MemoryBlock& block) {
  return reinterpret_cast<Real*>(block.data());
}

}  // namespace

KvCache::KvCache(const ModelConfig& model, int64_t sequences, MemoryLedger& ledger)
    : ledger_(&ledger), layers_(model.layers), sequences_(sequences) {
  const bool latent = model.attention == "latent";
  heads_ = latent ? model.heads : model.key_heads();
  key_size_ = latent ? model.nope_dim + model.rope_dim : model.head_size();
  value_size_ = latent ? model.v_dim : model.head_size();
  keys_.resize(static_cast<size_t>(layers_));
  values_.resize(static_cast<size_t>(layers_));
}

void KvCache::reserve(int64_t tokens) {
  if (tokens <= capacity_) return;
  grow(keys_, key_size_, tokens);
  grow(values_, value_size_, tokens);
  capacity_ = tokens;
}

void KvCache::grow(std::vector<MemoryBlock>& blocks, int64_t size, int64_t tokens) {
  const int64_t before = capacity_ * heads_ * size, after = tokens * heads_ * size;
  for (MemoryBlock& block : blocks) {
    MemoryBlock larger(*ledger_, MemoryCategory::buffers,
                       sequences_ * after * static_cast<int64_t>(sizeof(Real)));
    for (int64_t b = 0; b < sequences_; ++b)
      std::copy_n(data_of(block) + b * before, before, data_of(larger) + b * after);
    block = std::move(larger);
  }
}

View<Real> KvCache::view(int32_t layer, const std::vector<MemoryBlock>& blocks,
                         int64_t size) const {
  return {data_of(blocks[static_cast<size_t>(layer)]), {sequences_, capacity_, heads_, size}};
}

}  // namespace hecate::models
