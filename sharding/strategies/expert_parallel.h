#pragma once
#include "sharding/strategy.h"

namespace hecate::sharding {

/// `ep`.
class ExpertParallel final : public Strategy {
 public:
  explicit ExpertParallel(StrategyInputs inputs);

  std::string_view name() const override { return "ep"; }
  Ownership initial_owners() const override;
  /// Copies at the owner's place in every other group.
  std::vector<collectives::Placement> plan_step(const Ownership& owners,
                                                const LoadTracker& loads) override;
  int slots() const override;
  std::vector<int> dispatch_groups() const override;

 private:
  int groups() const { return inputs().devices() / degree_; }

  int degree_;
};

}  // namespace hecate::sharding
