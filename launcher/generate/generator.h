#pragma once
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "launcher/generate/sampler.h"
#include "launcher/train/loaded_model.h"
#include "models/kv_cache.h"
#include "models/storage.h"
#include "models/transformer.h"
#include "runtime/graph/executor.h"

namespace hecate::launcher {

/// Continues token sequences with a trained causal model. The context is the newest `sequence`
/// tokens. Keys and values of what was computed are kept, so that a context that grows costs only
/// its new tokens; one that slides moves every position and is computed anew.
class Generator {
 public:
  /// @throws InvalidArgument for a masked model.
  explicit Generator(const LoadedModel& model);
  ~Generator();

  /// Logits [V] of the token that follows `tokens` (at least one). Valid until the next call.
  /// Rounding, not meaning, depends on whether `tokens` extends the last call's.
  std::span<const Real> next_logits(std::span<const int32_t> tokens);
  /// The next call computes its whole context.
  void forget() { cached_.clear(); }

  /// Appends up to `count` tokens; stops after `end` (-1: never). @param emit called with each.
  void generate(std::vector<int32_t>& tokens, int64_t count, int32_t end,
                const SamplingOptions& options, const std::function<void(int32_t)>& emit);

 private:
  struct Sized;
  struct Decoder;
  Sized& sized(int64_t length);
  bool extends_cached(std::span<const int32_t> context) const;
  std::span<const Real> compute(std::span<const int32_t> context);
  std::span<const Real> decode(int32_t token);

  RunConfig config_;
  models::ParameterLayout layout_;
  MemoryLedger ledger_;
  graph::LaneSet lanes_;
  models::LocalStorage storage_;
  models::ModelState state_;
  models::KvCache cache_;
  std::vector<int32_t> cached_;  // the tokens that the cache holds
  std::unique_ptr<Decoder> decoder_;
  std::vector<std::unique_ptr<Sized>> graphs_;
};

}  // namespace hecate::launcher
