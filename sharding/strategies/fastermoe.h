#pragma once
#include "sharding/strategy.h"

namespace hecate::sharding {

/// `fastermoe` (He et al., PPoPP 2022): even owners; after a layer's gate the heaviest experts are
/// copied to every device ("shadowed") for the rest of the step. A step's later micro-batches add
/// to what the earlier ones copied.
class FasterMoe final : public Strategy {
 public:
  /// @throws InvalidArgument without a cost.
  explicit FasterMoe(StrategyInputs inputs);

  std::string_view name() const override { return "fastermoe"; }
  std::vector<collectives::Placement> plan_step(const Ownership& owners,
                                                const LoadTracker& loads) override;
  int slots() const override;
  bool plans_after_gate() const override { return slots() > 0; }
  std::optional<collectives::Placement> plan_after_gate(int layer, const Ownership& owners,
                                                        const collectives::Placement& materialized,
                                                        std::span<const int64_t> counts) override;
  /// Tokens of a shadowed expert stay on their device.
  DispatchPolicy dispatch() const override { return DispatchPolicy::nearest; }
};

}  // namespace hecate::sharding
