#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <random>
#include <thread>

#include "tests/launcher/pbt/population_job.h"
#include "tests/launcher/pbt/proxy.h"
#include "tests/scheduler/pbt/wire.h"

namespace hecate::launcher {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

const char* kAlwaysDiverges = R"(
[[pbt.search]]
key = "schedule.rate"
kind = "choice"
values = ["0.003", "0.01", "1e25"]
)";

TEST_F(PopulationJobTest, EndsWithTheBestModelPicturesAndAScheduleToRepeat) {
  const Outcome outcome = run("%H pbt " + config("c.toml") + " --run p");
  ASSERT_EQ(outcome.code, 0) << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr("best: member"));
  EXPECT_GT(events("p", "copied"), 0u);
  expect_complete("p");
  const Outcome evaluated = run("%H eval " + at("p") + "/best");
  EXPECT_EQ(evaluated.code, 0) << evaluated.out;
}

TEST_F(PopulationJobTest, GoesOnThroughKilledWorkersAndKilledControllers) {
  std::mt19937 random(2);
  pid_t controller = start("%H pbt " + config("c.toml") + " --run p");
  wait_for("p", "report", 2);
  for (int kills = 0; kills < 5; ++kills) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100 + random() % 250));
    const std::vector<pid_t> all = workers("p");
    if (kills % 2 == 0 && !all.empty()) kill(all[random() % all.size()], SIGKILL);
    if (kills % 2 == 0) continue;
    kill(controller, SIGKILL);
    wait(controller);
    controller = start("%H pbt --run p --resume");
  }
  const Outcome outcome = wait(controller);
  ASSERT_EQ(outcome.code, 0) << outcome.out;
  expect_complete("p");
}

TEST_F(PopulationJobTest, AMemberThatDivergesIsReplaced) {
  const Outcome outcome =
      run("%H pbt " + config("c.toml", {"seed=3", "pbt.members=6"}, kAlwaysDiverges) + " --run p");
  ASSERT_EQ(outcome.code, 0) << outcome.out;
  EXPECT_GT(events("p", "failed"), 0u);
  EXPECT_GT(events("p", "copied"), 0u);
  std::ifstream file(at("p") + "/pbt.jsonl");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_THAT(text, HasSubstr("\"target_score\":null"));
}

TEST_F(PopulationJobTest, ASignalSavesAndResumeGoesOn) {
  const pid_t controller = start("%H pbt " + config("c.toml") + " --run p");
  wait_for("p", "report", 2);
  kill(controller, SIGTERM);
  const Outcome stopped = wait(controller);
  EXPECT_EQ(stopped.code, 0) << stopped.out;
  EXPECT_THAT(stopped.out, HasSubstr("--resume"));
  EXPECT_TRUE(workers("p").empty());
  const Outcome outcome = run("%H pbt --run p --resume");
  ASSERT_EQ(outcome.code, 0) << outcome.out;
  expect_complete("p");
}

// Longer than the time-out, shorter than the time to come back.
TEST_F(PopulationJobTest, AWorkerOutlivesACutInTheNetwork) {
  const pid_t controller =
      start("%H pbt " +
            config("c.toml", {"pbt.slots=0", "pbt.members=2", "pbt.timeout_seconds=0.5",
                              "pbt.reconnect_seconds=20"}) +
            " --run p");
  Proxy proxy(address("p"));
  const pid_t worker = start("%H train --pbt " + proxy.address() + " --pbt-name w", "worker");
  wait_for("p", "report", 1);
  proxy.stall();
  std::this_thread::sleep_for(2s);
  const size_t before = events("p", "report");
  proxy.flow();
  const Outcome outcome = wait(controller);
  ASSERT_EQ(outcome.code, 0) << outcome.out;
  EXPECT_EQ(wait(worker, 20, "worker").code, 0);
  EXPECT_LT(before, 8u);
  EXPECT_EQ(events("p", "revoked"), 0u);
  EXPECT_GT(proxy.connections(), 1);
  expect_complete("p");
}

TEST_F(PopulationJobTest, AWorkerOfAnotherVersionIsToldAndEnds) {
  const pbt::ScratchDirectory scratch;
  pbt::CoordinatorOptions options = pbt::small_options(scratch, 2);
  options.version = "0.0.0-other";
  const pbt::ServedPopulation served(options);
  const Outcome outcome = run(concat("%H train --pbt 127.0.0.1:", served.port()));
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.out, HasSubstr("the controller 0.0.0-other"));
}

// One worker sees the population's directory, the other is given its weights by the controller.
TEST_F(PopulationJobTest, WeightsGoThroughTheConnectionWhereTheDiskIsNotShared) {
  const pid_t controller = start("%H pbt " + config("c.toml", {"pbt.slots=1"}) + " --run p");
  const pid_t far = start("%H train --pbt " + address("p") + " --pbt-scratch far", "worker");
  const Outcome outcome = wait(controller);
  ASSERT_EQ(outcome.code, 0) << outcome.out;
  EXPECT_EQ(wait(far, 20, "worker").code, 0);
  EXPECT_TRUE(std::filesystem::exists(at("far") + "/members"));
}

// One rank, and four in one mpirun that are two workers, copy each other's members.
TEST_F(PopulationJobTest, WorkersOfDifferentRankCountsShareAPopulation) {
  const pid_t controller =
      start("%H pbt " +
            config("c.toml", {"pbt.slots=1", "train.micro_batch=0", "fssdp.overlap_degree=2",
                              "fssdp.memory_capacity=2"}) +
            " --run p");
  const pid_t two =
      start("mpirun -np 4 %H train --pbt " + address("p") + " --ranks-per-member 2", "worker");
  const Outcome outcome = wait(controller);
  ASSERT_EQ(outcome.code, 0) << outcome.out;
  EXPECT_EQ(wait(two, 20, "worker").code, 0);
  expect_complete("p", false);
}

// On a disk of its own, full but for a little: no checkpoint fits.
TEST_F(PopulationJobTest, AFullDiskIsSaidAndResumedFrom) {
  if (run("unshare -m sh -c 'mount --make-rprivate / && mkdir t && mount -t tmpfs tmpfs t'").code !=
      0)
    GTEST_SKIP() << "cannot mount a small disk here";
  config("c.toml");
  const Outcome outcome =
      run("unshare -m sh -c 'mount --make-rprivate / && mkdir disk && "
          "mount -t tmpfs -o size=24m tmpfs disk && head -c 24m /dev/zero >disk/ballast; "
          "truncate -s -300K disk/ballast; timeout -s TERM 3 %H pbt c.toml --run disk/p; "
          "cat disk/p/workers/*.log; rm disk/ballast; "
          "%H pbt --run disk/p --resume; echo second $?; "
          "%H train disk/p/config.toml --replay disk/p/pbt.jsonl --run replay; echo third $?'");
  EXPECT_THAT(outcome.out, HasSubstr("disk full"));
  EXPECT_THAT(outcome.out, HasSubstr("second 0"));
  EXPECT_THAT(outcome.out, HasSubstr("third 0"));
}

}  // namespace
}  // namespace hecate::launcher
