#include "scheduler/pbt/coordinator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "tests/scheduler/pbt/wire.h"

namespace hecate::pbt {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
using namespace std::chrono_literals;

/// The coordinator with a clock that stands still unless it is moved.
class CoordinatorTest : public ::testing::Test {
 protected:
  explicit CoordinatorTest(int64_t members = 2) : options_(small_options(scratch_, members)) {
    options_.token = std::string("t");
    restart();
  }

  void restart() {
    coordinator_.reset();
    coordinator_ = std::make_unique<Coordinator>(options_, now_);
  }
  void connect(uint64_t connection, const std::string& worker) {
    coordinator_->opened(connection, now_);
    ask(connection, {{"type", "hello"}, {"worker", worker}, {"version", "1"}, {"token", "t"}});
  }
  /// Answers to this connection; `null` if there is none.
  Json ask(uint64_t connection, const Json& message) {
    coordinator_->received(connection, {message.dump(), ""}, now_);
    return answer(connection);
  }
  Json answer(uint64_t connection) {
    Json found;
    for (const Coordinator::Reply& reply : coordinator_->commit()) {
      if (reply.to == connection) found = Json::parse(reply.message.text);
      if (reply.close) coordinator_->closed(reply.to, now_);
    }
    return found;
  }
  Json report(uint64_t connection, const Json& work, double score) {
    return ask(connection, {{"type", "report"},
                            {"member", work["member"]},
                            {"lease", work["lease"]},
                            {"step", work["until"]},
                            {"tokens", 1},
                            {"score", score}});
  }

  ScratchDirectory scratch_;
  CoordinatorOptions options_;
  Coordinator::Time now_ = std::chrono::steady_clock::now();
  std::unique_ptr<Coordinator> coordinator_;
};

TEST_F(CoordinatorTest, AWorkerGetsWorkReportsAndGetsMore) {
  connect(1, "a");
  const Json work = ask(1, {{"type", "ready"}, {"id", 5}});
  EXPECT_EQ(work["type"], "assign");
  EXPECT_EQ(work["id"], 5);
  EXPECT_EQ(work["until"], 10);
  EXPECT_EQ(work["directory"], "members/00.0");
  EXPECT_EQ(report(1, work, 0.5)["type"], "noted");
  EXPECT_EQ(ask(1, {{"type", "ready"}})["member"], 1);
}

TEST_F(CoordinatorTest, ARestartForgetsNothingAndRepeatsNothing) {
  connect(1, "a");
  const Json first = ask(1, {{"type", "ready"}});
  report(1, first, 0.5);
  const Json second = ask(1, {{"type", "ready"}});
  const size_t events = coordinator_->events().size();
  restart();
  EXPECT_EQ(coordinator_->events().size(), events);
  connect(2, "a");
  const Json again = ask(2, {{"type", "ready"}});
  EXPECT_EQ(again["lease"], second["lease"]);
  EXPECT_EQ(again["settings"], second["settings"]);
  EXPECT_EQ(coordinator_->events().size(), events);
  EXPECT_EQ(report(2, first, 0.5)["type"], "noted") << "its first answer was lost";
  EXPECT_EQ(coordinator_->events().size(), events);
}

TEST_F(CoordinatorTest, AJournalOfAnotherPopulationIsRefused) {
  coordinator_->commit();
  options_.seed = 2;
  EXPECT_THROW(restart(), InvalidArgument);
}

TEST_F(CoordinatorTest, TheMemberOfALostWorkerGoesToAnotherAfterAWhile) {
  connect(1, "a");
  connect(2, "b");
  const Json lost = ask(1, {{"type", "ready"}});
  const Json other = ask(2, {{"type", "ready"}});
  report(2, other, 1);
  coordinator_->closed(1, now_);
  ask(2, {{"type", "ready"}});  // goes on with its own
  coordinator_->closed(2, now_);
  now_ += 10s;
  connect(3, "b");
  coordinator_->tick(now_);
  EXPECT_EQ(ask(3, {{"type", "ready"}})["member"], other["member"]) << "it came back in time";
  now_ += 4s;
  ask(3, {{"type", "progress"}});
  now_ += 4s;
  ask(3, {{"type", "progress"}});
  connect(4, "c");
  EXPECT_TRUE(ask(4, {{"type", "ready"}}).is_null()) << "nothing waits yet";
  for (int i = 0; i < 4; ++i) {
    now_ += 4s;
    ask(3, {{"type", "progress"}});
    ask(4, {{"type", "progress"}});
    coordinator_->tick(now_);
  }
  const Json given = answer(4);
  EXPECT_EQ(given["member"], lost["member"]);
  EXPECT_NE(given["lease"], lost["lease"]);
  connect(5, "a");
  EXPECT_EQ(report(5, lost, 3)["type"], "stale") << "somebody else has it";
}

TEST_F(CoordinatorTest, ASilentWorkerIsDropped) {
  connect(1, "a");
  now_ += 6s;
  coordinator_->tick(now_);
  const Json said = answer(1);
  EXPECT_EQ(said["type"], "refused");
  EXPECT_EQ(said["again"], true);
  EXPECT_FALSE(coordinator_->connected("a"));
}

TEST_F(CoordinatorTest, ADivergedMemberCountsAsWorstAndIsReplaced) {
  connect(1, "a");
  report(1, ask(1, {{"type", "ready"}}), 1);
  const Json work = ask(1, {{"type", "ready"}});
  ask(1, {{"type", "failed"},
          {"member", work["member"]},
          {"lease", work["lease"]},
          {"reason", "NaN"},
          {"diverged", true}});
  const Json next = ask(1, {{"type", "ready"}});
  EXPECT_EQ(next["member"], work["member"]);
  EXPECT_EQ(next["copy"]["directory"], "members/00.0");
  EXPECT_EQ(next["directory"], "members/01.1");
}

TEST_F(CoordinatorTest, AFailedMemberIsTriedAgainAfterAPause) {
  options_.population.members = 1;
  options_.journal = scratch_.path() / "other";
  restart();
  connect(1, "a");
  const Json work = ask(1, {{"type", "ready"}});
  ask(1, {{"type", "failed"}, {"member", 0}, {"lease", work["lease"]}, {"reason", "disk full"}});
  EXPECT_TRUE(ask(1, {{"type", "ready"}}).is_null());
  now_ += 2s;
  coordinator_->tick(now_);
  EXPECT_EQ(answer(1)["type"], "assign");
}

TEST_F(CoordinatorTest, StrangersAreRefusedWithAReason) {
  const auto refused = [&](uint64_t connection, const Json& hello) {
    coordinator_->opened(connection, now_);
    const Json said = ask(connection, hello);
    EXPECT_EQ(said["type"], "refused");
    EXPECT_EQ(said["again"], false);
    return said["reason"].get<std::string>();
  };
  EXPECT_THAT(refused(1, {{"type", "hello"}, {"worker", "a"}, {"version", "1"}, {"token", "x"}}),
              HasSubstr("HECATE_PBT_TOKEN"));
  EXPECT_THAT(refused(2, {{"type", "hello"}, {"worker", "a"}, {"version", "2"}, {"token", "t"}}),
              HasSubstr("hecate 2"));
  EXPECT_THAT(refused(3, {{"type", "ready"}}), HasSubstr("before hello"));
  EXPECT_THAT(refused(4, {{"type", "hello"}, {"worker", ""}, {"version", "1"}, {"token", "t"}}),
              HasSubstr("name"));
}

TEST_F(CoordinatorTest, WhatIsOutOfOrderEndsThatConnectionAlone) {
  connect(1, "good");
  const Json work = ask(1, {{"type", "ready"}});
  const std::vector<Json> wrong = {
      {{"type", "hello"}, {"worker", "b"}, {"version", "1"}, {"token", "t"}},
      {{"type", "no such"}},
      {{"type", "report"}, {"member", 99}, {"lease", 1}},
      {{"type", "report"}, {"member", -1}, {"lease", 1}},
      {{"type", "report"}, {"member", "0"}, {"lease", 1}},
      {{"type", "report"}, {"member", 0}},
      {{"type", 7}},
      Json::array({1, 2}),
      "text",
      nullptr};
  uint64_t connection = 100;
  for (const Json& message : wrong) {
    connect(++connection, concat("bad", connection));
    EXPECT_EQ(ask(connection, message)["type"], "refused") << message;
    EXPECT_FALSE(coordinator_->connected(concat("bad", connection)));
  }
  const size_t events = coordinator_->events().size();
  connect(900, "thief");
  for (const char* type : {"copied", "failed", "released", "copy_failed", "write"})
    EXPECT_EQ(ask(900, {{"type", type}, {"member", 0}, {"lease", work["lease"]}})["type"], "stale")
        << type;
  EXPECT_EQ(coordinator_->events().size(), events);
  EXPECT_EQ(report(1, work, 1)["type"], "noted");
}

TEST_F(CoordinatorTest, AFinishedPopulationSendsItsWorkersHome) {
  connect(1, "a");
  for (int i = 0; i < 20; ++i) {
    const Json work = ask(1, {{"type", "ready"}});
    if (work["type"] == "finish") break;
    if (work.contains("copy"))
      ask(1, {{"type", "copied"}, {"member", work["member"]}, {"lease", work["lease"]}});
    report(1, work, work["member"].get<int>());
  }
  EXPECT_TRUE(coordinator_->population().finished());
  EXPECT_EQ(ask(1, {{"type", "ready"}})["type"], "finish");
}

}  // namespace
}  // namespace hecate::pbt
