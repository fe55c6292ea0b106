#pragma once
#include <vector>

#include "sharding/expert_copies.h"
#include "sharding/strategy.h"

namespace hecate::sharding {

/// `laer` (arXiv:2602.11686): every device keeps an equal slice of every expert and its state; for
/// each pass of a layer the devices restore the whole experts that the layer's layout gives them,
/// in `even share + rearrange.slots` slots. The layout follows from the loads of the step before.
class Laer final : public Strategy {
 public:
  /// @throws InvalidArgument without a cost.
  explicit Laer(StrategyInputs inputs);

  std::string_view name() const override { return "laer"; }
  bool slices_experts() const override { return true; }
  std::vector<collectives::Placement> plan_step(const Ownership& owners,
                                                const LoadTracker& loads) override;
  int slots() const override;
  bool releases_after_forward() const override { return true; }
  DispatchPolicy dispatch() const override { return DispatchPolicy::node_even; }
  std::vector<std::vector<int>> copies() const override { return copies_; }

 private:
  int slots_per_layer() const;

  std::vector<std::vector<int>> copies_;  // of the last plan
};

}  // namespace hecate::sharding
