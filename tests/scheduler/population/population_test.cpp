#include "scheduler/population/population.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/error.h"
#include "scheduler/population/lineage.h"

namespace hecate::population {
namespace {

using ::testing::ElementsAre;

PopulationConfig config(int64_t members) {
  PopulationConfig config;
  config.members = members;
  config.interval = 10;
  DimensionConfig rate;
  rate.key = "rate";
  rate.min = 1e-3;
  rate.max = 1e3;
  config.search = {rate};
  return config;
}

/// A population with a worker that does what it is told at once.
class Driven {
 public:
  explicit Driven(const PopulationConfig& rules, int64_t steps = 40) : population(rules, steps, 1) {
    for (const Event& event : population.beginning()) take(event);
  }

  void take(const Event& event) {
    population.apply(event);
    events.push_back(event);
  }
  std::optional<Event> lease(const std::string& worker = "w") {
    auto event = population.next(worker, [](const Member&) { return true; });
    if (event) take(*event);
    return event;
  }
  void copied(const Event& lease) {
    Event event;
    event.kind = EventKind::copied;
    event.member = lease.member;
    event.lease = lease.lease;
    take(event);
  }
  void report(const Event& lease, double score) {
    Event event;
    event.kind = EventKind::report;
    event.member = lease.member;
    event.lease = lease.lease;
    event.step = population.assignment(lease.member).until;
    event.tokens = event.step * 100;
    event.score = score;
    take(event);
  }
  void end(const Event& lease, EventKind kind, bool diverged = false) {
    Event event;
    event.kind = kind;
    event.member = lease.member;
    event.lease = lease.lease;
    event.diverged = diverged;
    take(event);
  }
  /// One interval of the next member; its score is its number unless said otherwise.
  Event turn(std::optional<double> score = {}) {
    Event event = lease().value();
    if (event.copy) copied(event);
    report(event, score.value_or(event.member));
    return event;
  }

  Population population;
  std::vector<Event> events;
};

TEST(PopulationTest, MembersTakeTurnsLeastAdvancedFirst) {
  Driven driven(config(3));
  std::vector<int> order;
  for (int i = 0; i < 6; ++i) order.push_back(driven.turn().member);
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 0, 1, 2));
}

TEST(PopulationTest, AMemberIsDecidedAboutWhenItsTurnComes) {
  Driven driven(config(5));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(driven.turn().copy);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(driven.turn().copy);
  const Event last = driven.turn();  // smallest is best: member 4 is worst, member 0 best
  ASSERT_TRUE(last.copy);
  EXPECT_EQ(last.member, 4);
  EXPECT_EQ(last.copy->donor, 0);
  EXPECT_EQ(last.copy->step, 20);
  const Member& copy = driven.population.members()[4];
  EXPECT_EQ(copy.incarnation, 1);
  EXPECT_THAT(copy.ancestors, ElementsAre(0));
  EXPECT_EQ(copy.history.size(), 3u);  // two of the donor, one of its own
  const double ratio = copy.point[0] / driven.population.members()[0].point[0];
  EXPECT_TRUE(ratio == 0.8 || std::abs(ratio - 1.2) < 1e-12) << ratio;
}

// Without it, who is ahead would look good and who is behind bad.
TEST(PopulationTest, MembersAheadCountByTheirScoreAtTheSamePoint) {
  PopulationConfig rules = config(2);
  rules.quantile = 0.5;
  Driven driven(rules, 100);
  const Event slow = driven.lease().value();  // member 0
  for (double score : {9.0, 1.0, 0.5}) {
    const Event fast = driven.lease().value();
    ASSERT_EQ(fast.member, 1);
    driven.report(fast, score);
  }
  driven.report(slow, 5);
  const Event next = driven.lease().value();
  EXPECT_EQ(next.member, 0);
  EXPECT_FALSE(next.copy) << "5 at step 10 is better than 9 at step 10";
}

TEST(PopulationTest, NobodyIsReplacedDuringBurnIn) {
  PopulationConfig rules = config(2);
  rules.burn_in = 20;
  Driven driven(rules);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(driven.turn().copy) << i;
  EXPECT_FALSE(driven.turn().copy);
  EXPECT_TRUE(driven.turn().copy);
}

TEST(PopulationTest, ADecisionOutlivesTheWorkerThatHadIt) {
  Driven driven(config(2));
  for (int i = 0; i < 3; ++i) driven.turn();
  const Event first = driven.lease().value();
  ASSERT_TRUE(first.copy);
  driven.end(first, EventKind::revoked);
  const Event second = driven.lease("other").value();
  EXPECT_EQ(second.point, first.point);
  EXPECT_EQ(second.copy->step, first.copy->step);
  driven.copied(second);
  driven.end(second, EventKind::revoked);
  const Event third = driven.lease("other").value();
  EXPECT_FALSE(third.copy);
  EXPECT_EQ(driven.population.assignment(third.member).directory, "members/01.1");
}

TEST(PopulationTest, ACopyThatFailedIsDecidedAnew) {
  Driven driven(config(2));
  for (int i = 0; i < 3; ++i) driven.turn();
  const Event first = driven.lease().value();
  driven.end(first, EventKind::copy_failed);
  EXPECT_EQ(driven.population.members()[1].incarnation, 0);
  const Event second = driven.lease().value();
  EXPECT_TRUE(second.copy);
  EXPECT_NE(second.lease, first.lease);
}

TEST(PopulationTest, AReportOfALostWorkerStillCountsWhileNobodyElseHasTheMember) {
  Driven driven(config(1));
  const Event lost = driven.lease().value();
  driven.end(lost, EventKind::revoked);
  Event report;
  report.kind = EventKind::report;
  report.member = 0;
  report.lease = lost.lease;
  report.step = 10;
  driven.take(report);
  EXPECT_EQ(driven.population.members()[0].step, 10);
  EXPECT_THROW(driven.take(report), InvalidArgument);  // once
  const Event again = driven.lease().value();
  driven.end(again, EventKind::revoked);
  driven.lease();
  report.lease = again.lease;
  report.step = 20;
  EXPECT_THROW(driven.take(report), InvalidArgument);
}

TEST(PopulationTest, ADivergedMemberIsReplacedOrGivenUp) {
  Driven driven(config(3));
  for (int i = 0; i < 2; ++i) driven.turn();
  driven.end(driven.lease().value(), EventKind::failed,
             true);  // member 2, no donor yet ahead of it
  const Event copy = driven.lease().value();
  EXPECT_EQ(copy.member, 2);
  ASSERT_TRUE(copy.copy);
  EXPECT_EQ(copy.copy->donor, 0);

  PopulationConfig none = config(1);
  none.exploit = "none";
  Driven alone(none);
  alone.end(alone.lease().value(), EventKind::failed, true);
  EXPECT_EQ(alone.lease()->kind, EventKind::given_up);
  EXPECT_TRUE(alone.population.finished());
  EXPECT_FALSE(alone.population.best());
}

TEST(PopulationTest, FailuresInARowAreCounted) {
  PopulationConfig rules = config(1);
  rules.retries = 1;
  Driven driven(rules);
  driven.end(driven.lease().value(), EventKind::failed);
  driven.turn();
  driven.end(driven.lease().value(), EventKind::failed);
  EXPECT_FALSE(driven.population.finished());
  driven.end(driven.lease().value(), EventKind::failed);
  EXPECT_TRUE(driven.population.finished());
}

TEST(PopulationTest, EndsWithTheBestFinishedMember) {
  Driven driven(config(4));
  for (int i = 0; i < 100 && !driven.population.finished(); ++i) driven.turn();
  EXPECT_FALSE(driven.lease());
  EXPECT_EQ(driven.population.best(), 0);
}

TEST(PopulationTest, TheSameEventsMakeTheSameStateAndTheSameDecisions) {
  Driven driven(config(6));
  for (int i = 0; i < 14; ++i) driven.turn();
  Population again(config(6), 40, 1);
  for (const Event& event : driven.events) again.apply(event);
  const auto may = [](const Member&) { return true; };
  const Event a = driven.population.next("w", may).value(), b = again.next("w", may).value();
  EXPECT_EQ(a.member, b.member);
  EXPECT_EQ(a.point, b.point);
  EXPECT_EQ(a.copy.has_value(), b.copy.has_value());
}

TEST(Lineage, AModelsScheduleFollowsItsDonors) {
  Driven driven(config(2), 60);
  for (int i = 0; i < 4; ++i) driven.turn();  // member 1 copies 0 at step 20
  const auto after = schedules(driven.events);
  ASSERT_EQ(after[1].size(), 2u);
  EXPECT_EQ(after[1][0].member, 0);
  EXPECT_EQ(after[1][0].point, driven.events[0].point);
  EXPECT_EQ(after[1][1].step, 20);
  EXPECT_EQ(after[1][1].point, driven.population.members()[1].point);
  EXPECT_EQ(after[0].size(), 1u);
}

}  // namespace
}  // namespace hecate::population
