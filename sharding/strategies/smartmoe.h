#pragma once
#include "sharding/strategy.h"

namespace hecate::sharding {

/// `smartmoe` (Zhai et al., USENIX ATC 2023): each layer's owners are exchanged among the places
/// that the layer's owners have, by the mean load of the last two steps.
class SmartMoe final : public Strategy {
 public:
  using Strategy::Strategy;

  std::string_view name() const override { return "smartmoe"; }
  std::vector<collectives::Placement> plan_step(const Ownership& owners,
                                                const LoadTracker& loads) override;
  int slots() const override { return 0; }
  bool moves_owners(int64_t step) const override;
  std::optional<Ownership> next_owners(int64_t step, const Ownership& owners,
                                       const LoadTracker& loads) override;
};

}  // namespace hecate::sharding
