#pragma once
#include <cstdint>
#include <vector>

#include "models/parameters.h"
#include "models/routing_source.h"

/// What the operations of a model's graph read and write besides buffers. One per rank; the graph's
/// closures keep a pointer to it, so it never moves.
namespace hecate::models {

/// Where each parameter's value and gradient are now. Experts that are not on this rank are null.
struct ParameterTable {
  std::vector<Real*> value;     // per ParameterId
  std::vector<Real*> gradient;  // per ParameterId; empty outside training
};

/// Set before each micro-batch.
struct StepScalars {
  int64_t step = 0;  ///< 0 for the first
  uint64_t seed = 0;
  int64_t first_token = 0;   ///< index of this micro-batch's first token in the global batch
  int64_t local_token = 0;   ///< the same among this rank's tokens of the step
  int64_t local_tokens = 0;  ///< this rank's tokens of the step
  int64_t global_tokens = 0;
  bool accumulate = false;  ///< gradients add to those of earlier micro-batches
  double loss_scale = 1;    ///< of the summed cross-entropy: 1 / valid tokens of the global batch
  bool training = false;    ///< jitter and dropout apply
};

struct MoeStatistics {
  std::vector<int64_t> counts;  ///< choices per expert, before capacity
  int64_t dropped = 0;
  double balance_loss = 0;  ///< this rank's share, coefficient included
  double z_loss = 0;        ///< the same
};

/// Added up over the micro-batches of a step; reset by the caller.
struct StepStatistics {
  double loss_sum = 0;
  int64_t valid_tokens = 0;
  std::vector<MoeStatistics> layers;  ///< per layer; counts empty for dense ones

  void reset();
};

struct ModelState {
  ParameterTable parameters;
  StepScalars scalars;
  StepStatistics statistics;
  RoutingSource* routing = nullptr;  ///< null: learned
};

}  // namespace hecate::models
