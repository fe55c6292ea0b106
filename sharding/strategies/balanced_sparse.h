#pragma once
#include "sharding/balanced/split.h"
#include "sharding/node_map.h"
#include "sharding/strategy.h"

namespace hecate::sharding {

/// `fssdp` and `fssdp-rm` with planner = balanced: copies, owners and the tokens' split follow from
/// the cost model (sharding/balanced/planner.h).
class BalancedSparse final : public Strategy {
 public:
  /// @throws InvalidArgument without a model.
  BalancedSparse(StrategyInputs inputs, bool release);

  std::string_view name() const override { return release_ ? "fssdp-rm" : "fssdp"; }
  std::vector<collectives::Placement> plan_step(const Ownership& owners,
                                                const LoadTracker& loads) override;
  int slots() const override;
  bool releases_after_forward() const override { return release_; }
  bool plans_after_gate() const override { return inputs().calibrate; }
  std::optional<collectives::Placement> plan_after_gate(int layer, const Ownership& owners,
                                                        const collectives::Placement& materialized,
                                                        std::span<const int64_t> counts) override;
  bool moves_owners(int64_t step) const override;
  /// Each layer's owners trade places (balanced_owners) where its modelled time falls; all of them
  /// where that saves more in an interval than moving their state takes.
  std::optional<Ownership> next_owners(int64_t step, const Ownership& owners,
                                       const LoadTracker& loads) override;
  bool splits_rows() const override { return true; }
  HolderRows split_rows(std::span<const int64_t> counts, std::span<const int> owners,
                        const collectives::Placement& materialized) override;

 private:
  balanced::Problem problem(std::span<const int> owners, std::span<const int64_t> rows) const;
  std::vector<int64_t> forecast_rows(const LoadTracker& loads, int layer) const;

  bool release_;
  NodeMap nodes_;
  balanced::Splitter split_;
};

}  // namespace hecate::sharding
