#include "sharding/strategy.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/base/error.h"
#include "tests/sharding/balanced/drawn_problem.h"

namespace hecate::sharding {
namespace {

using collectives::Placement;

StrategyInputs inputs_of(const balanced::DrawnProblem& drawn) {
  return {.layers = drawn.drawn.layers,
          .experts = drawn.drawn.experts,
          .node_of = {drawn.nodes.node_of().begin(), drawn.nodes.node_of().end()},
          .overlap_degree = drawn.drawn.t,
          .memory_capacity = drawn.drawn.m,
          .reshard_interval = 2,
          .calibrate = true,
          .cost = drawn.model.cost,
          .balanced_model = drawn.model};
}

// Everything that a run asks of a strategy, from drawn loads.
class DrawnRun {
 public:
  DrawnRun(uint64_t seed, balanced::Objective objective)
      : drawn_(seed, objective),
        strategy_(make_strategy(seed % 2 == 0 ? "fssdp" : "fssdp-rm", inputs_of(drawn_))),
        owners_(strategy_->initial_owners()),
        loads_({drawn_.drawn.layers, drawn_.drawn.devices(), drawn_.drawn.experts}) {}

  void step(int64_t number) {
    StepLoads step(loads_.shape());
    std::vector<Placement> plan = strategy_->plan_step(owners_, loads_);
    for (int l = 0; l < owners_.layers(); ++l) {
      const std::vector<int64_t> counts = drawn_.drawn.draw_counts();
      std::ranges::copy(counts, step.layer(l).begin());
      Placement& layer = plan[static_cast<size_t>(l)];
      const auto grown = strategy_->plan_after_gate(l, owners_, layer, counts);
      check(l, layer, grown);
      if (grown) layer = *grown;
      const auto nodes = strategy_->inputs().node_of;
      plan_dispatch_to(counts, layer, nodes,
                       strategy_->split_rows(counts, owners_.layer(l), layer));
      plans_.push_back(layer);
    }
    loads_.record(step);
    if (auto next = strategy_->next_owners(number, owners_, loads_)) {
      EXPECT_TRUE(strategy_->moves_owners(number));
      EXPECT_NE(*next, owners_);
      for (int l = 0; l < owners_.layers(); ++l)
        for (int d = 0; d < owners_.devices(); ++d)
          EXPECT_EQ(next->owned(l, d).size(), owners_.owned(l, d).size());
      owners_ = *next;
      ++moved_;
    }
  }
  const std::vector<Placement>& plans() const { return plans_; }
  int moved() const { return moved_; }

 private:
  void check(int l, const Placement& planned, const std::optional<Placement>& grown) const {
    const Placement owner = owners_.placement(l);
    const Placement& layer = grown ? *grown : planned;
    check_materialized(owner, layer);
    for (int e = 0; e < planned.experts(); ++e)
      for (int d : planned.holders(e)) EXPECT_TRUE(layer.holds(e, d));
    for (int d = 0; d < owner.devices(); ++d)
      EXPECT_LE(layer.held_by(d) - owner.held_by(d), strategy_->slots());
  }

  balanced::DrawnProblem drawn_;
  std::unique_ptr<Strategy> strategy_;
  Ownership owners_;
  LoadTracker loads_;
  std::vector<Placement> plans_;
  int moved_ = 0;
};

TEST(BalancedStrategyTest, PlansKeepOwnersAndSlotsAndRepeat) {
  int moved = 0;
  for (uint64_t seed = 0; seed < 60; ++seed)
    for (const auto objective : {balanced::Objective::time, balanced::Objective::balance}) {
      DrawnRun a(seed, objective), b(seed, objective);
      for (int64_t step = 1; step <= 5; ++step) {
        a.step(step);
        b.step(step);
      }
      ASSERT_EQ(a.plans(), b.plans()) << "seed " << seed;
      moved += a.moved();
    }
  EXPECT_GT(moved, 10);
}

TEST(BalancedStrategyTest, OnlyItSplitsRows) {
  const balanced::DrawnProblem drawn(2);
  StrategyInputs inputs = inputs_of(drawn);
  EXPECT_TRUE(make_strategy("fssdp", inputs)->splits_rows());
  inputs.balanced_model.reset();
  const auto paper = make_strategy("fssdp", inputs);
  EXPECT_FALSE(paper->splits_rows());
  EXPECT_THROW(paper->split_rows({}, {}, Placement(1, 1)), InvalidArgument);
}

}  // namespace
}  // namespace hecate::sharding
