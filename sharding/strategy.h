#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collectives/placement.h"
#include "sharding/balanced/problem.h"
#include "sharding/cost.h"
#include "sharding/dispatch.h"
#include "sharding/loads.h"
#include "sharding/ownership.h"

namespace hecate::sharding {

/// What the strategies of other systems go by; keys of the same names explain them
/// (rearrange_config.h).
struct RearrangeInputs {
  int every = 10, slots = 2, groups = 1;
  double threshold = 1.2;
};

struct StrategyInputs {
  int layers = 0, experts = 0;
  std::vector<int> node_of = {};  ///< per device
  int overlap_degree = 0;         ///< t
  int memory_capacity = 0;        ///< m
  int reshard_interval = 100;     ///< steps; 0: never
  bool calibrate = false;         ///< correct the plan after the gate; needs `cost`
  DispatchPolicy dispatch = DispatchPolicy::nearest;  ///< that the layers use
  /// With state_bytes in it, owners move only where that pays within one interval.
  std::optional<LayerCost> cost = std::nullopt;
  RearrangeInputs rearrange = {};
  /// fssdp and fssdp-rm: planner = balanced; without it the paper's algorithms.
  std::optional<balanced::Model> balanced_model = std::nullopt;

  int devices() const { return static_cast<int>(node_of.size()); }
};

/// Decides who owns which expert and which copies exist in each step. Pure: answers follow from the
/// inputs, the arguments and the calls before, so that ranks that make the same calls agree. One
/// step is: plan_step, then per layer (plan_after_gate), then LoadTracker::record, then
/// next_owners.
class Strategy {
 public:
  /// @throws InvalidArgument unless there are layers, experts and devices, and t, m and the
  ///   interval are not negative.
  explicit Strategy(StrategyInputs inputs);
  virtual ~Strategy() = default;

  virtual std::string_view name() const = 0;
  /// Owners of a run that starts; even by default. A strategy that never moves owners needs these.
  virtual Ownership initial_owners() const;
  /// P' of every layer, each a superset of its owners.
  /// @param loads measured so far; sources are devices.
  virtual std::vector<collectives::Placement> plan_step(const Ownership& owners,
                                                        const LoadTracker& loads) = 0;
  /// The most copies, besides owned experts, that a plan puts on one device in one layer.
  virtual int slots() const = 0;
  /// Materialized parameters go after their layer's forward and are gathered again for backward.
  virtual bool releases_after_forward() const { return false; }

  /// Whether plan_after_gate may answer: then the layer waits for all sources' counts.
  virtual bool plans_after_gate() const { return false; }
  /// A superset of `materialized` for this step, from what the gate sent; nothing: as it is.
  /// @param counts [devices, experts] of the layer, after drops.
  virtual std::optional<collectives::Placement> plan_after_gate(
      int layer, const Ownership& owners, const collectives::Placement& materialized,
      std::span<const int64_t> counts);

  /// Whether owners may move after `step` steps (the step just done included). Known beforehand.
  virtual bool moves_owners(int64_t step) const;
  /// New owners after `step` steps; nothing where they stay.
  virtual std::optional<Ownership> next_owners(int64_t step, const Ownership& owners,
                                               const LoadTracker& loads);

  /// For plan_dispatch's node_of: devices that come before others as holders of a source's tokens.
  /// The nodes by default.
  virtual std::vector<int> dispatch_groups() const { return inputs_.node_of; }
  /// How tokens are split among an expert's holders.
  virtual DispatchPolicy dispatch() const { return inputs_.dispatch; }
  /// Whether split_rows gives every holder's rows instead of dispatch().
  virtual bool splits_rows() const { return false; }
  /// Rows of each expert on each of its holders.
  /// @param counts [devices, experts] of the layer, after drops. @param owners per expert.
  virtual HolderRows split_rows(std::span<const int64_t> counts, std::span<const int> owners,
                                const collectives::Placement& materialized);

  /// Per layer, [experts, devices]: slots that an expert has on a device in the last plan (of
  /// plan_dispatch); empty: one for each holder.
  virtual std::vector<std::vector<int>> copies() const { return {}; }

  /// Whether experts live on more devices than their owners from step to step, with all their
  /// state: then residents() and resident_slots() say where, and next_owners may answer owners that
  /// stayed when residents() or copies() changed.
  virtual bool keeps_replicas() const { return false; }
  /// Per layer, a superset of the owners that the last call of next_owners or restore left.
  virtual std::vector<collectives::Placement> residents() const { return {}; }
  /// The most experts that may live on a device, over all layers.
  virtual int64_t resident_slots() const { return 0; }
  /// Whether every device keeps a slice of every expert: plans then need not hold the owners, which
  /// say only who computes what outside of steps.
  virtual bool slices_experts() const { return false; }

  /// What a strategy remembers between steps, for a checkpoint; empty by default.
  virtual std::vector<int64_t> state() const { return {}; }
  /// @throws InvalidArgument for anything but what state() gave.
  virtual void restore(std::span<const int64_t> state);

  const StrategyInputs& inputs() const { return inputs_; }

 protected:
  /// @throws InvalidArgument when the cost is not known.
  void check_cost() const;
  /// Whether rearrange.every says that `step` is one to rearrange after.
  bool rearranges(int64_t step) const;

 private:
  StrategyInputs inputs_;
};

/// `fssdp`: sparse materialization (algorithm 1), heterogeneous sharding (algorithm 2) every
///   reshard_interval steps (arXiv 2502.02581).
/// `fssdp-rm`: the same, released after forward.
/// `ep`: even owners, no copies. With more devices than experts, groups of ep_degree neighbouring
///   devices hold all experts each; owners rotate over the groups.
/// `fsdp`: even owners, every expert on every device, released after forward.
/// `smartmoe`: `ep` (one group), owners exchanged inside layers every rearrange.every steps.
/// `fastermoe`: `ep` (one group); after the gate the heaviest experts, at most rearrange.slots, are
///   copied to every device. Needs `cost`.
/// `flexmoe`, `eplb`: replicas that persist, rearranged every rearrange.every steps. flexmoe needs
///   `cost`.
/// `laer`: every device has a slice of every expert and restores whole ones for each pass. Needs
///   `cost`.
/// @throws InvalidArgument for another name, listing these, and as Strategy's constructor does.
std::unique_ptr<Strategy> make_strategy(const std::string& name, StrategyInputs inputs);
/// The names that make_strategy knows.
std::span<const std::string> strategy_names();
/// Whether the strategy of that name cannot do without StrategyInputs::cost.
bool strategy_needs_cost(const std::string& name);

/// Devices that share one copy of all experts under `ep`: of the divisors of `devices` up to
/// `experts`, the smallest one with the fewest experts on the fullest device.
int ep_degree(int devices, int experts);

}  // namespace hecate::sharding
