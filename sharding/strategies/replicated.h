#pragma once
#include <vector>

#include "sharding/expert_copies.h"
#include "sharding/strategy.h"

namespace hecate::sharding {

/// Strategies whose replicas live from step to step, each with the expert's whole state, in
/// `even share + rearrange.slots` slots of every device and layer. Their gradients are summed over
/// all replicas, which then update themselves alike. Tokens are split evenly over an expert's
/// slots.
class Replicated : public Strategy {
 public:
  explicit Replicated(StrategyInputs inputs);

  std::vector<collectives::Placement> plan_step(const Ownership& owners,
                                                const LoadTracker& loads) override;
  int slots() const override { return 0; }
  bool moves_owners(int64_t step) const override;
  /// Rearranges every layer; each expert's owner stays where that device still has it, else it is,
  /// of the devices that do, the one with the fewest owned experts.
  std::optional<Ownership> next_owners(int64_t step, const Ownership& owners,
                                       const LoadTracker& loads) override;
  DispatchPolicy dispatch() const override { return DispatchPolicy::even; }
  std::vector<std::vector<int>> copies() const override;

  bool keeps_replicas() const override { return true; }
  std::vector<collectives::Placement> residents() const override;
  int64_t resident_slots() const override;

  /// The slots of all layers.
  std::vector<int64_t> state() const override;
  void restore(std::span<const int64_t> state) override;

 protected:
  /// Slots of a device and layer.
  int slots_per_layer() const { return slots_; }
  virtual ExpertCopies rearranged(int layer, const ExpertCopies& present,
                                  const LoadTracker& loads) = 0;

 private:
  int slots_;
  std::vector<ExpertCopies> layers_;
};

/// `flexmoe`.
class FlexMoe final : public Replicated {
 public:
  /// @throws InvalidArgument without a cost.
  explicit FlexMoe(StrategyInputs inputs);
  std::string_view name() const override { return "flexmoe"; }

 private:
  ExpertCopies rearranged(int layer, const ExpertCopies& present,
                          const LoadTracker& loads) override;
};

/// `eplb`.
class Eplb final : public Replicated {
 public:
  /// @throws InvalidArgument for groups that do not divide the experts.
  explicit Eplb(StrategyInputs inputs);
  std::string_view name() const override { return "eplb"; }

 private:
  ExpertCopies rearranged(int layer, const ExpertCopies& present,
                          const LoadTracker& loads) override;
};

}  // namespace hecate::sharding
