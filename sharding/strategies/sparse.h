#pragma once
#include "sharding/strategy.h"

namespace hecate::sharding {

/// `fssdp` and `fssdp-rm`.
class Sparse final : public Strategy {
 public:
  /// @throws InvalidArgument when calibration is asked for without a cost.
  Sparse(StrategyInputs inputs, bool release);

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
  std::optional<Ownership> next_owners(int64_t step, const Ownership& owners,
                                       const LoadTracker& loads) override;

 private:
  bool pays(const Ownership& before, const Ownership& after, const LoadTracker& loads) const;
  double step_seconds(const Ownership& owners, const LoadTracker& loads) const;

  bool release_;
};

}  // namespace hecate::sharding
