#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "launcher/checkpoint/directory.h"
#include "tests/launcher/commands/mpi_job.h"

/// Signals to a job of real ranks.
namespace hecate::launcher {
namespace {

using ::testing::HasSubstr;

class TrainStopTest : public MpiJobTest {
 protected:
  std::string endless() const {
    return "train " + config("run.toml", {"train.steps=1000000", "checkpoint.every=0"}) +
           " --run " + at("run");
  }
  // The step at which the run stopped is saved.
  void expect_saved() const {
    const auto steps = static_cast<int64_t>(losses("run").size());
    ASSERT_FALSE(checkpoints("run").empty());
    EXPECT_EQ(checkpoints("run").front(), checkpoint::step_name(steps));
  }
};

TEST_F(TrainStopTest, OneSignalToLaunchSavesAndEndsWithZero) {
  for (const int signal : {SIGTERM, SIGINT}) {
    std::filesystem::remove_all(at("run"));
    start(launch(2, endless()));
    wait_for_steps("run", 3);
    kill(started(), signal);
    const Outcome outcome = finish();
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(occurrences(outcome.out, "stopped after step"), 1u) << outcome.out;
    EXPECT_EQ(occurrences(outcome.err, "stopping after this step"), 1u) << outcome.err;
    expect_saved();
    EXPECT_TRUE(all_gone());
  }
}

TEST_F(TrainStopTest, MpirunPassesARequestToStopOn) {
  start(mpirun(3, endless()));
  wait_for_steps("run", 3);
  kill(started(), SIGUSR1);
  const Outcome outcome = finish();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(occurrences(outcome.out, "stopped after step"), 1u) << outcome.out;
  expect_saved();
  EXPECT_TRUE(all_gone());
}

// mpirun leaves its ranks a second.
TEST_F(TrainStopTest, ShortStepsAreSavedBeforeMpirunKillsItsRanks) {
  for (const int signal : {SIGTERM, SIGINT}) {
    std::filesystem::remove_all(at("run"));
    start(mpirun(2, endless()));
    wait_for_steps("run", 3);
    kill(started(), signal);
    const Outcome outcome = finish();
    EXPECT_NE(outcome.code, 0);  // mpirun's own
    EXPECT_EQ(occurrences(outcome.err, "stopping after this step"), 1u) << outcome.err;
    expect_saved();
    EXPECT_TRUE(all_gone());
  }
}

TEST_F(TrainStopTest, ASecondSignalToLaunchEndsAtOnce) {
  start(launch(2, endless()));
  wait_for_steps("run", 3);
  kill(process_of(1), SIGSTOP);  // its step does not end
  kill(started(), SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_THAT(err(), HasSubstr("once more to stop at once"));
  const auto begin = std::chrono::steady_clock::now();
  kill(started(), SIGINT);
  const Outcome outcome = finish();
  EXPECT_NE(outcome.code, 0);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5)) << outcome.err;
  EXPECT_TRUE(all_gone());
}

}  // namespace
}  // namespace hecate::launcher
