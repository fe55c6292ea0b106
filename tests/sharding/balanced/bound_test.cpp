#include "sharding/balanced/bound.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sharding/balanced/split.h"
#include "tests/sharding/balanced/drawn_problem.h"

namespace hecate::sharding::balanced {
namespace {

using collectives::Placement;

constexpr double kRounding = 1 - 1e-12;

int64_t busiest(const DispatchPlan& plan) {
  int64_t most = 0;
  for (int d = 0; d < plan.devices(); ++d) most = std::max(most, plan.rows_on(d));
  return most;
}

// Every source's rows of an expert thrown at its holders.
DispatchPlan random_dispatch(DrawnProblem& drawn, const Placement& placement) {
  DispatchPlan plan(placement.devices(), placement.experts());
  for (int s = 0; s < plan.devices(); ++s)
    for (int e = 0; e < plan.experts(); ++e) {
      int64_t left = drawn.counts[static_cast<size_t>(s * plan.experts() + e)];
      const auto holders = placement.holders(e);
      for (size_t h = 0; h < holders.size(); ++h) {
        const int64_t rows =
            h + 1 == holders.size() ? left : drawn.drawn.below(static_cast<int>(left) + 1);
        plan.add(s, holders[h], rows);
        left -= rows;
      }
      plan.close_pair();
    }
  return plan;
}

TEST(BoundTest, NoRandomPlanIsBelow) {
  for (uint64_t seed = 0; seed < 1500; ++seed) {
    DrawnProblem drawn(seed);
    const Problem problem = drawn.problem();
    const Bound bound = lower_bound(problem);
    EXPECT_LE(lower_bound_any_owner(problem), bound.seconds * (1 + 2 * kRangeShare));
    for (int i = 0; i < 4; ++i) {
      const Placement placement = drawn.draw_placement();
      const DispatchPlan plan =
          i < 2 ? random_dispatch(drawn, placement)
                : plan_dispatch(drawn.counts, placement, drawn.nodes.node_of(),
                                i == 2 ? DispatchPolicy::nearest : DispatchPolicy::level);
      ASSERT_GE(layer_time(problem, placement, plan).total(), bound.seconds * kRounding)
          << "seed " << seed;
      ASSERT_GE(busiest(plan), bound.rows) << "seed " << seed;
    }
  }
}

TEST(BoundTest, OwnersMayBeAnyForTheSecondOne) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    DrawnProblem drawn(seed);
    const double bound = lower_bound_any_owner(drawn.problem());
    std::vector<int>& owner = drawn.owner;
    for (size_t i = owner.size(); i > 1; --i)
      std::swap(owner[i - 1], owner[static_cast<size_t>(drawn.drawn.below(static_cast<int>(i)))]);
    const Placement placement = drawn.draw_placement();
    const DispatchPlan plan = plan_dispatch(drawn.counts, placement, drawn.nodes.node_of());
    ASSERT_GE(layer_time(drawn.problem(), placement, plan).total(), bound * kRounding)
        << "seed " << seed;
  }
}

// Three devices, two of them on one node, three experts; all placements and all ways of one to five
// tokens.
class Exhausted {
 public:
  explicit Exhausted(uint64_t seed) : drawn(seed) {
    drawn.drawn.node_of = {0, 0, 1};
    drawn.drawn.experts = 3;
    drawn.drawn.m = static_cast<int>(seed % 3);
    drawn.nodes = NodeMap(drawn.drawn.node_of);
    drawn.model.cost.topology.node_of = drawn.drawn.node_of;
    drawn.owner = {drawn.drawn.below(3), drawn.drawn.below(3), drawn.drawn.below(3)};
    std::vector<int64_t> counts(9);
    for (int tokens = 1 + drawn.drawn.below(5); tokens > 0; --tokens)
      ++counts[static_cast<size_t>(drawn.drawn.below(9))];
    drawn.set_counts(counts);
    for (size_t i = 0; i < 9; ++i)
      for (int64_t token = 0; token < counts[i]; ++token) tokens_.push_back(static_cast<int>(i));
    try_all();
  }

  DrawnProblem drawn;
  double least_seconds = 1e300;
  int64_t least_rows = 1 << 30;

 private:
  void try_all() {
    const Placement owners = Placement::from_owners(drawn.owner, 3);
    for (unsigned extra = 0; extra < 1u << 9; ++extra) {
      Placement placement = owners;
      for (int i = 0; i < 9; ++i)
        if ((extra >> i & 1) != 0) placement.add(i % 3, i / 3);
      bool fits = true;
      for (int d = 0; d < 3; ++d)
        fits = fits && placement.held_by(d) - owners.held_by(d) <= drawn.drawn.m;
      if (fits) choose(placement, 0);
    }
  }
  void choose(const Placement& placement, size_t token) {
    if (token == tokens_.size()) return finish(placement);
    for (int d : placement.holders(tokens_[token] % 3)) {
      chosen_.push_back(d);
      choose(placement, token + 1);
      chosen_.pop_back();
    }
  }
  void finish(const Placement& placement) {
    DispatchPlan plan(3, 3);
    for (int i = 0; i < 9; ++i) {
      int64_t rows[3] = {0, 0, 0};
      for (size_t token = 0; token < tokens_.size(); ++token)
        rows[chosen_[token]] += tokens_[token] == i ? 1 : 0;
      for (int d = 0; d < 3; ++d) plan.add(i / 3, d, rows[d]);
      plan.close_pair();
    }
    least_seconds = std::min(least_seconds, layer_time(drawn.problem(), placement, plan).total());
    least_rows = std::min(least_rows, busiest(plan));
  }

  std::vector<int> tokens_, chosen_;
};

TEST(BoundTest, TheBestOfAllPlansIsNotBelow) {
  int attained = 0, level = 0;
  constexpr int kCases = 60;
  for (uint64_t seed = 0; seed < kCases; ++seed) {
    const Exhausted all(seed);
    const Problem problem = all.drawn.problem();
    const Bound bound = lower_bound(problem);
    ASSERT_GE(all.least_seconds, bound.seconds * kRounding) << "seed " << seed;
    ASSERT_GE(all.least_rows, bound.rows) << "seed " << seed;
    attained += all.least_seconds <= bound.seconds * (1 + 1e-9) ? 1 : 0;
    level += all.least_rows == bound.rows ? 1 : 0;
    // The planner itself, measured the same way.
    const LayerPlan plan = plan_layer(problem, 1);
    Splitter split;
    split.split(problem, plan.placement);
    const DispatchPlan dispatch =
        plan_dispatch_to(all.drawn.counts, plan.placement, all.drawn.nodes.node_of(),
                         holder_rows(split, plan.placement));
    ASSERT_GE(layer_time(problem, plan.placement, dispatch).total(), all.least_seconds * kRounding);
  }
  EXPECT_GT(attained, kCases / 8);  // the bound is no idle one
  EXPECT_GT(level, kCases / 2);
}

}  // namespace
}  // namespace hecate::sharding::balanced
