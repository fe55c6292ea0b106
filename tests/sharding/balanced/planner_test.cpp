#include "sharding/balanced/planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "runtime/base/error.h"
#include "sharding/balanced/draft.h"
#include "sharding/balanced/split.h"
#include "sharding/materialization.h"
#include "tests/sharding/balanced/drawn_problem.h"

namespace hecate::sharding::balanced {
namespace {

using collectives::Placement;

void expect_fits(const DrawnProblem& drawn, const Placement& placement, uint64_t seed) {
  const Placement owners = Placement::from_owners(drawn.owner, drawn.drawn.devices());
  check_materialized(owners, placement);
  for (int d = 0; d < owners.devices(); ++d)
    ASSERT_LE(placement.held_by(d) - owners.held_by(d), drawn.drawn.m) << "seed " << seed;
}

class PlannerTest : public testing::TestWithParam<Objective> {};

TEST_P(PlannerTest, KeepsOwnersAndSlotsAndIsNoWorseThanTheOwnersAlone) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    const DrawnProblem drawn(seed, GetParam());
    const Problem problem = drawn.problem();
    const LayerPlan plan = plan_layer(problem, drawn.drawn.t);
    expect_fits(drawn, plan.placement, seed);
    Problem bare = problem;
    bare.slots = 0;
    const LayerPlan owners = plan_layer(bare, 0);
    EXPECT_LE(plan.cost(GetParam()), owners.cost(GetParam())) << "seed " << seed;
    EXPECT_GE(plan.rows, plan.bound.rows);
    EXPECT_GE(plan.time.total(), plan.bound.seconds * (1 - 1e-12)) << "seed " << seed;
  }
}

TEST_P(PlannerTest, IsNoWorseThanAlgorithmOneOnWhatItPlansFor) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const DrawnProblem drawn(seed, GetParam());
    const Problem problem = drawn.problem();
    std::vector<double> loads(drawn.owner.size());
    for (size_t i = 0; i < drawn.rows.size(); ++i)
      loads[i % loads.size()] += static_cast<double>(drawn.rows[i]);
    const Placement placement =
        materialize(Placement::from_owners(drawn.owner, drawn.drawn.devices()), loads,
                    drawn.drawn.t, drawn.drawn.m, drawn.nodes.node_of());
    Splitter split;
    split.split(problem, placement);
    const LayerPlan plan = plan_layer(problem, drawn.drawn.t);
    if (GetParam() == Objective::balance) {
      EXPECT_LE(plan.rows, split.level()) << "seed " << seed;
    } else {
      const double seconds =
          split.time().total() + Draft(problem, placement).collectives_time().total();
      EXPECT_LE(plan.time.total(), seconds * (1 + 1e-12)) << "seed " << seed;
    }
  }
}

TEST_P(PlannerTest, EqualProblemsHaveEqualPlans) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const DrawnProblem a(seed, GetParam()), b(seed, GetParam());
    EXPECT_EQ(plan_layer(a.problem(), a.drawn.t).placement,
              plan_layer(b.problem(), b.drawn.t).placement);
  }
}

TEST_P(PlannerTest, CorrectionsPayAndFit) {
  int corrected = 0, evicted = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    DrawnProblem drawn(seed, GetParam());
    const LayerPlan plan = plan_layer(drawn.problem(), drawn.drawn.t);
    drawn.set_counts(drawn.drawn.draw_counts());
    const Problem truth = drawn.problem();
    for (const bool evict : {false, true}) {
      const auto found = correct(truth, plan.placement, evict);
      if (!found) continue;
      ++corrected;
      evicted += found->evicted;
      expect_fits(drawn, found->placement, seed);
      EXPECT_GT(found->added + found->evicted, 0);
      if (!evict) {
        EXPECT_EQ(found->evicted, 0);
      }
      if (GetParam() == Objective::time) {
        EXPECT_GT(found->saved_seconds, found->gather_seconds + found->reduce_seconds);
      }
    }
  }
  EXPECT_GT(corrected, 20);
  EXPECT_GT(evicted, 10);
}

TEST_P(PlannerTest, OwnersStayAsManyOnEveryDevice) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const DrawnProblem drawn(seed, GetParam());
    std::vector<int> before = drawn.owner, after = balanced_owners(drawn.problem());
    std::ranges::sort(before);
    std::ranges::sort(after);
    ASSERT_EQ(before, after) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Objectives, PlannerTest,
                         testing::Values(Objective::time, Objective::balance),
                         [](const auto& test) {
                           return test.param == Objective::time ? "time" : "balance";
                         });

TEST(SplitterTest, EveryRowFindsAHolderAndCostsAreThoseOfItsDispatch) {
  Splitter split;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    DrawnProblem drawn(seed, seed % 2 == 0 ? Objective::time : Objective::balance);
    const Problem problem = drawn.problem();
    const Placement placement = drawn.draw_placement();
    split.split(problem, placement);
    const DispatchPlan plan = plan_dispatch_to(drawn.counts, placement, drawn.nodes.node_of(),
                                               holder_rows(split, placement));
    std::vector<int64_t> out(static_cast<size_t>(drawn.nodes.nodes())), in(out);
    int64_t most = 0;
    for (int d = 0; d < plan.devices(); ++d) {
      most = std::max(most, plan.rows_on(d));
      EXPECT_EQ(plan.rows_on(d), split.load()[static_cast<size_t>(d)]);
      for (int s = 0; s < plan.devices(); ++s) {
        const int from = drawn.nodes.node(s), to = drawn.nodes.node(d);
        if (from == to) continue;
        out[static_cast<size_t>(from)] += plan.rows_between(s, d);
        in[static_cast<size_t>(to)] += plan.rows_between(s, d);
      }
    }
    EXPECT_EQ(most, split.level());
    EXPECT_TRUE(std::ranges::equal(out, split.out())) << "seed " << seed;
    EXPECT_TRUE(std::ranges::equal(in, split.in())) << "seed " << seed;
    if (problem.model->objective == Objective::balance) {
      const DispatchPlan level =
          plan_dispatch(drawn.counts, placement, drawn.nodes.node_of(), DispatchPolicy::level);
      int64_t least = 0;
      for (int d = 0; d < plan.devices(); ++d) least = std::max(least, level.rows_on(d));
      EXPECT_LE(most, least) << "seed " << seed;
    }
  }
}

TEST(SplitterTest, ExposedCollectivesAreThoseOfTheCostModel) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    DrawnProblem drawn(seed);
    drawn.model.hidden_gather_seconds = drawn.model.hidden_reduce_seconds = 0;
    const Problem problem = drawn.problem();
    const Placement owners = Placement::from_owners(drawn.owner, drawn.drawn.devices());
    const Placement placement = drawn.draw_placement();
    EXPECT_NEAR(Draft(problem, placement).collectives_time().gather,
                gather_seconds(drawn.model.cost, owners, placement, drawn.model.cost.gather_bytes),
                1e-12);
  }
}

TEST(PlannerArgumentsTest, RefusesSizesThatDisagree) {
  DrawnProblem drawn(3);
  drawn.rows.pop_back();
  EXPECT_THROW(plan_layer(drawn.problem(), 1), InvalidArgument);
  DrawnProblem negative(3);
  negative.rows[0] = -1;
  EXPECT_THROW(plan_layer(negative.problem(), 1), InvalidArgument);
  EXPECT_THROW(objective("speed"), InvalidArgument);
}

}  // namespace
}  // namespace hecate::sharding::balanced
