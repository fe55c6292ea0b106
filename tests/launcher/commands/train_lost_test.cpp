#include <gmock/gmock.h>
#include <sys/mount.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "launcher/checkpoint/directory.h"
#include "runtime/base/error.h"
#include "tests/launcher/commands/mpi_job.h"

/// Ranks that die and disks that fill up: the job ends, the last checkpoint is named and whole, and
/// the run goes on from it as if nothing had happened.
namespace hecate::launcher {
namespace {

using ::testing::HasSubstr;

class TrainLostTest : public MpiJobTest {
 protected:
  // A checkpoint every `every` steps; more steps than the test waits for.
  std::string endless(int every) const {
    return concat("train ",
                  config("run.toml", {"train.steps=1000000", concat("checkpoint.every=", every),
                                      "cluster.timeout_seconds=2"}),
                  " --run ", at("run"));
  }

  // The newest, or the one before: a write may end after the message.
  bool names_a_checkpoint(const std::string& text, const std::string& words) const {
    const auto kept = checkpoints("run");
    return std::any_of(kept.begin(), kept.begin() + std::min<std::ptrdiff_t>(2, std::ssize(kept)),
                       [&](const std::string& name) {
                         return text.find(concat(words, at("run"), "/checkpoints/", name)) !=
                                std::string::npos;
                       });
  }

  void expect_named(const Outcome& outcome) const {
    EXPECT_NE(outcome.code, 0) << outcome.err;
    EXPECT_TRUE(names_a_checkpoint(outcome.err, "")) << outcome.err;
    EXPECT_TRUE(all_gone());
  }

  // Goes on for five steps, and compares with a run that never stopped.
  void expect_continues(int ranks) {
    const int64_t step = std::stoll(checkpoints("run").front().substr(5));
    const std::string end = concat(" --set train.steps=", step + 5);
    const Outcome resumed = run(mpirun(ranks, "train --resume --run " + at("run") + end));
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_THAT(resumed.err, HasSubstr("continuing from"));
    const Outcome whole =
        run(mpirun(ranks, concat("train ", at("run.toml"), " --run ", at("whole"), end)));
    ASSERT_EQ(whole.code, 0) << whole.err;
    EXPECT_EQ(losses("run"), losses("whole"));
  }

  void kill_when_writing(int rank) const {
    const pid_t process = process_of(rank);
    namespace fs = std::filesystem;
    std::error_code ignored;
    for (int tries = 0; tries < 1000000; ++tries) {
      for (const auto& entry : fs::directory_iterator(at("run") + "/checkpoints", ignored))
        if (entry.path().filename().string().starts_with(".tmp-")) {
          kill(process, SIGKILL);
          return;
        }
    }
    FAIL() << "no checkpoint was being written";
  }
};

TEST_F(TrainLostTest, ARankKilledBetweenCheckpoints) {
  for (const int rank : {1, 0}) {
    std::filesystem::remove_all(at("run"));
    start(mpirun(3, endless(4)));
    wait_for_steps("run", 10);
    kill(process_of(rank), SIGKILL);
    const Outcome outcome = finish();
    EXPECT_LT(outcome.seconds, 30);
    expect_named(outcome);
  }
  expect_continues(3);
}

TEST_F(TrainLostTest, ARankKilledInsideAWrite) {
  start(mpirun(2, endless(1)));
  wait_for_steps("run", 6);
  kill_when_writing(1);
  expect_named(finish());
  expect_continues(2);
}

// The survivors find out by themselves.
TEST_F(TrainLostTest, ARankKilledAmongSurvivors) {
  start(mpirun(3, endless(2), "--enable-recovery"));
  wait_for_steps("run", 6);
  kill_when_writing(2);
  const Outcome outcome = finish();
  EXPECT_TRUE(names_a_checkpoint(outcome.err, "last checkpoint: ")) << outcome.err;
  EXPECT_EQ(occurrences(outcome.err, "hecate: rank"), 1u) << outcome.err;
  EXPECT_TRUE(all_gone());
  expect_continues(3);
}

TEST_F(TrainLostTest, AFullDiskLeavesTheLastCheckpointWhole) {
  std::filesystem::create_directory(at("disk"));
  if (mount("none", at("disk").c_str(), "tmpfs", 0, "size=4m") != 0)
    GTEST_SKIP() << "no small disk: mounting one needs root";
  const std::string file =
      config("run.toml", {"train.steps=1000000", "checkpoint.every=2", "checkpoint.keep=1000"});
  const Outcome outcome = run(mpirun(2, "train " + file + " --run " + at("disk/run")));
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  EXPECT_EQ(occurrences(outcome.err, "No space left on device"), 1u) << outcome.err;
  ASSERT_FALSE(checkpoints("disk/run").empty());
  const std::string last = at("disk/run") + "/checkpoints/" + checkpoints("disk/run").front();
  EXPECT_THAT(outcome.err, HasSubstr(last));
  EXPECT_TRUE(checkpoint::verify(last).empty());
  EXPECT_TRUE(all_gone());
  umount2(at("disk").c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace hecate::launcher
