#pragma once
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "launcher/generate/sampler.h"
#include "launcher/train/loaded_model.h"
#include "models/storage.h"
#include "models/transformer.h"
#include "runtime/graph/executor.h"

namespace hecate::launcher {

/// Continues token sequences with a trained causal model. The context is the newest `sequence`
/// tokens; the whole context is computed again for each token.
class Generator {
 public:
  /// @throws InvalidArgument for a masked model.
  explicit Generator(const LoadedModel& model);
  ~Generator();

  /// Logits [V] of the token that follows `tokens` (at least one). Valid until the next call.
  std::span<const Real> next_logits(std::span<const int32_t> tokens);

  /// Appends up to `count` tokens; stops after `end` (-1: never). @param emit called with each.
  void generate(std::vector<int32_t>& tokens, int64_t count, int32_t end,
                const SamplingOptions& options, const std::function<void(int32_t)>& emit);

 private:
  struct Sized;
  Sized& sized(int64_t length);

  RunConfig config_;
  models::ParameterLayout layout_;
  MemoryLedger ledger_;
  graph::LaneSet lanes_;
  models::LocalStorage storage_;
  models::ModelState state_;
  std::vector<std::unique_ptr<Sized>> graphs_;
};

}  // namespace hecate::launcher
