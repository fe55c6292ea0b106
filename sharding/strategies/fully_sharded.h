#pragma once
#include "sharding/strategy.h"

namespace hecate::sharding {

/// `fsdp`.
class FullySharded final : public Strategy {
 public:
  using Strategy::Strategy;

  std::string_view name() const override { return "fsdp"; }
  std::vector<collectives::Placement> plan_step(const Ownership& owners,
                                                const LoadTracker& loads) override;
  int slots() const override { return inputs().devices() > 1 ? inputs().experts : 0; }
  bool releases_after_forward() const override { return true; }
};

}  // namespace hecate::sharding
