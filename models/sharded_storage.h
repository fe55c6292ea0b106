#pragma once
#include <vector>

#include "models/storage.h"
#include "sharding/exec/dense_shards.h"
#include "sharding/exec/expert_store.h"

namespace hecate::models {

/// The chunks of a model's experts. Tensors of one expert lie in layout order in its chunk.
sharding::exec::ExpertChunks expert_chunks(const ParameterLayout& layout);

/// The dense parameters in buckets: [0] what comes before the layers, [1 + i] layer i, the last one
/// what comes after them.
sharding::exec::DenseBuckets dense_buckets(const ParameterLayout& layout, int64_t layers);

/// The same for ZeRO-3: buckets of layers take turns in 1 + depth rings of values and two of
/// gradients; the first and the last bucket share a ring unless the head is tied, since both are
/// in use then.
sharding::exec::DenseBuckets dense_buckets_in_rings(const ParameterLayout& layout,
                                                    const ModelConfig& model, int64_t depth);

/// Dense parameters in slices, experts (or the rank's slices of them) at their owners, and where
/// the store has them as replicas.
class ShardedStorage final : public Storage {
 public:
  /// Everything outlives the storage.
  ShardedStorage(const ParameterLayout& layout, sharding::exec::DenseShards& dense,
                 sharding::exec::ExpertStore& experts);

  const ParameterLayout& layout() const override { return *layout_; }
  std::span<const OwnedPiece> pieces() const override { return pieces_; }
  std::span<const OwnedPiece> replicas() const override { return replicas_; }
  ParameterTable table() override;
  /// After owners have changed: pieces() is another then.
  void refresh();

 private:
  void add_dense(ParameterId id);
  void add_expert(ParameterId id);
  int64_t moe_index(int32_t layer) const;

  const ParameterLayout* layout_;
  sharding::exec::DenseShards* dense_;
  sharding::exec::ExpertStore* experts_;
  std::vector<int32_t> moe_layers_;
  std::vector<int64_t> chunk_offset_;  // per parameter: elements from its chunk's start
  std::vector<OwnedPiece> pieces_, replicas_;
};

}  // namespace hecate::models
