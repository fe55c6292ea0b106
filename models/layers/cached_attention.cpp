#include "models/layers/cached_attention.h"

#include "models/kv_cache.h"
#include "runtime/kernels/attention.h"
#include "runtime/kernels/kv_cache.h"

namespace hecate::models {
namespace {

OpCost cost_of(double flops, double elements) {
  return {.flops = flops,
          .bytes = elements * sizeof(Real),
          .rows = {},
          .flops_per_row = 0,
          .bytes_per_row = 0};
}

// Elements of one position of one sequence in the cache.
double position_size(const KvCache& cache) {
  return static_cast<double>(cache.heads() * (cache.key_size() + cache.value_size()));
}

}  // namespace

BufferId fill_cache(Builder& b, const AttentionInputs& inputs, const CachedHeads& heads) {
  const KvCache* cache = inputs.cache;
  const int32_t layer = b.layer();
  const int64_t tokens = b.tokens();
  const BufferId filled = b.token("attention.cache");
  std::vector<BufferId> reads = heads.reads;
  reads.push_back(inputs.positions);
  b.op(OpKind::elementwise, "attention.cache", reads, {filled},
       cost_of(0, 2 * static_cast<double>(tokens) * position_size(*cache)), [=](OpContext& c) {
         const auto positions = c.view<const int32_t>(inputs.positions, {tokens});
         kernels::cache_rows(c.stream(), heads.keys(c), positions, cache->keys(layer));
         kernels::cache_rows(c.stream(), heads.values(c), positions, cache->values(layer));
       });
  return filled;
}

void decode_attention(Builder& b, const AttentionInputs& inputs, const CachedHeads& heads,
                      Real scale, Shape out_shape, BufferId out) {
  const BufferId filled = fill_cache(b, inputs, heads);
  const KvCache* cache = inputs.cache;
  const int32_t layer = b.layer();
  const int64_t sequences = b.tokens();
  std::vector<BufferId> reads = heads.reads;
  reads.insert(reads.end(), {filled, inputs.lengths});
  // As if the cache were half full.
  const double seen = static_cast<double>(sequences) * static_cast<double>(inputs.rope_rows) / 2;
  const auto groups = static_cast<double>(out_shape[1]) / static_cast<double>(cache->heads());
  b.op(OpKind::attention, "attention.core", reads, {out},
       cost_of(2 * seen * groups * position_size(*cache), seen * position_size(*cache)),
       [=](OpContext& c) {
         kernels::attention_decode(
             c.stream(), scale, heads.queries(c), cache->keys(layer), cache->values(layer),
             c.view<const int32_t>(inputs.lengths, {sequences}), c.view<Real>(out, out_shape));
       });
}

}  // namespace hecate::models
