#pragma once
#include <cstdint>
#include <string>

#include "models/builder.h"
#include "runtime/memory/ledger.h"

/// What a model costs, before anything is allocated: read from the step graph that would run.
namespace hecate::models {

struct ModelSummary {
  int64_t parameters = 0;
  int64_t active_parameters = 0;  ///< that one token uses
  /// Of a training step (forward and backward, causal half only), per token.
  double train_flops_per_token = 0;
  double forward_flops_per_token = 0;
  /// Peak bytes of one rank that holds everything, training: parameters, gradients, optimizer and
  /// activations (arena, expert rows and kernel scratch) of one micro-batch.
  MemoryBytes bytes{};
};

/// @param batch of one micro-batch. Routing is taken as balanced over tokens: every token's top-k
/// choices are rows, as in a dropless layer on one rank.
/// @throws InvalidArgument if the configuration is impossible.
ModelSummary summarize(const ModelConfig& model, const RouterConfig& router, BatchShape batch);

/// The summary as text with units, several lines.
std::string to_text(const ModelConfig& model, const ModelSummary& summary, BatchShape batch);

}  // namespace hecate::models
