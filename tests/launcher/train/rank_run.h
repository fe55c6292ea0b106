#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "launcher/config/run_config.h"
#include "launcher/train/engine.h"

namespace hecate::launcher {

/// What the ranks of an engine run agreed on, put together from their pieces.
struct RankResult {
  std::vector<double> losses;
  std::vector<double> gradient_norms;
  std::vector<std::vector<Real>> gradients;   ///< per parameter, of the last step
  std::vector<std::vector<Real>> parameters;  ///< per parameter, at the end
  std::vector<StepResult> last;               ///< per rank
  /// Of rank 0, over all steps.
  sharding::exec::CalibrationStatistics calibration;
  int64_t extended_bytes = 0, busiest_rank_rows = 0;
  std::vector<MemoryBytes> peak;  ///< per rank
  /// Per parameter and element: how many pieces have it, with its moments.
  std::vector<std::vector<int>> copies;
};

struct RankRunOptions {
  int ranks = 1;
  int ranks_per_node = 0;  ///< 0: one node
  int64_t first_step = 0;
  int64_t steps = 3;
  double rate = 1e-2;
  /// Called on every rank with what its engine is made from.
  std::function<void(EngineOptions&)> adjust = {};
  /// Called on every rank before its first step.
  std::function<void(Engine&)> prepare = {};
  /// Called on every rank after each step, with the number of updates done.
  std::function<void(Engine&, int64_t)> after_step = {};
  /// Called on every rank after its last step.
  std::function<void(Engine&)> finish = {};
};

/// Trains on `ranks` threads of this process that talk over an in-process world (or without one for
/// a single rank). @throws what any rank threw first.
RankResult run_ranks(const RunConfig& config, const RankRunOptions& options);

/// Sends most tokens of a step and layer to one expert, another one in every step: what a forecast
/// from earlier steps cannot know. The rest is spread over all. Follows from the step, the layer
/// and the token's place in the global batch.
class JumpingRouting final : public models::RoutingSource {
 public:
  explicit JumpingRouting(int64_t num_experts) : experts_(num_experts) {}
  void assign(int64_t layer, const models::TokenRange& range, View<int32_t> experts) const override;

 private:
  int64_t experts_;
};

/// |a - b| / |b| over all elements of one tensor; 0 where both vanish.
double relative_difference(const std::vector<Real>& a, const std::vector<Real>& b);

}  // namespace hecate::launcher
