#pragma once
#include <optional>

#include "collectives/placement.h"
#include "sharding/balanced/bound.h"
#include "sharding/balanced/problem.h"
#include "sharding/dispatch.h"

namespace hecate::sharding::balanced {

/// One layer's placement, for the rows that it was planned for.
struct LayerPlan {
  collectives::Placement placement{0, 1};
  LayerTime time;    ///< modelled
  int64_t rows = 0;  ///< of the busiest device
  Bound bound;
  /// What the objective counts: seconds, or rows.
  double cost(Objective objective) const {
    return objective == Objective::time ? time.total() : static_cast<double>(rows);
  }
};

/// Chooses copies for a forecast: the best of several constructions (fill.h: levelled over all
/// devices; levelled inside nodes with various numbers of experts brought into each; algorithm 1
/// with `t` and the problem's slots), improved copy by copy.
/// Pure: equal problems, equal plans; work is bounded by counts of operations.
/// @param t of algorithm 1; 0: without it.
/// @throws InvalidArgument for sizes that disagree or negative rows.
LayerPlan plan_layer(const Problem& problem, int t);

/// Of a plan and the dispatch that its layer used, exactly.
LayerTime layer_time(const Problem& problem, const collectives::Placement& placement,
                     const DispatchPlan& dispatch);

/// What a correction after the gate found.
struct Correction {
  collectives::Placement placement{0, 1};
  int added = 0, evicted = 0;
  double saved_seconds = 0;   ///< of compute and exchange
  double gather_seconds = 0;  ///< charged: of the copies that were added, hidden by nothing
  double reduce_seconds = 0;  ///< charged: more exposed reduction than planned
};

/// Corrects a plan once the true rows are known (problem.node_rows). Copies are added where slots
/// are free or, with `evict`, in the place of a copy that has no rows or the fewest; as long as
/// that pays for the gather, which nothing hides now (objective time), or until the devices are
/// within kLevelEnough of their mean (objective balance). Nothing where nothing pays.
std::optional<Correction> correct(const Problem& problem, const collectives::Placement& planned,
                                  bool evict);

/// Owners of one layer that make the best of the copies: every device keeps its number of experts;
/// experts by falling load, counted up to the mean device's rows (more is copied anyway), go to the
/// least loaded node and there to the least loaded device with a free place; ties: the present
/// owner, then the lower index.
std::vector<int> balanced_owners(const Problem& problem);

/// Copies tried one by one: kStepWork / devices, within these limits.
inline constexpr int kSteps = 24, kLeastSteps = 4, kStepWork = 2048;
/// Plans of at most so many nodes x experts also look at rows that the forecast might miss.
inline constexpr int kShaken = 1024;
inline constexpr double kLevelEnough = 1.002;

}  // namespace hecate::sharding::balanced
