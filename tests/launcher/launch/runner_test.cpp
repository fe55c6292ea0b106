#include "launcher/launch/runner.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "tests/runtime/io/scratch.h"

/// Jobs of shell scripts under the real mpirun, as this machine has it.
namespace hecate::launch {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

using namespace std::chrono_literals;

class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest()
      : marker_("hecate-runner-" + std::to_string(getpid()) + "-" + std::to_string(++count_)) {}
  ~RunnerTest() override {
    for (const pid_t left : marked()) kill(left, SIGKILL);
  }

  // A job of `ranks` shells; every process of a rank has the marker on its command line.
  Job job(int ranks, const std::string& script) const {
    Request request;
    request.ranks = ranks;
    request.oversubscribe = true;
    request.program = {"-c", script, marker_};
    Machine machine;
    machine.hecate = "/bin/sh";
    machine.cores = 2;
    machine.root = geteuid() == 0;
    return compose(request, machine);
  }

  // Runs the job in a process of its own, which signals can be sent to.
  void start(const Job& job, const RunnerOptions& options = {}) {
    io::write_file(scratch_ / "out", "");  // not what an earlier job wrote
    child_ = fork();
    if (child_ != 0) return;
    if (freopen((scratch_ / "out").c_str(), "w", stdout) == nullptr ||
        freopen((scratch_ / "err").c_str(), "w", stderr) == nullptr)
      _exit(99);
    _exit(run_job(job, options));
  }
  int finish() const {
    int status = 0;
    waitpid(child_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  std::vector<std::string> out() const { return lines_of("out"); }
  std::string err() const { return io::read_file(scratch_ / "err"); }

  void wait_for_lines(size_t count) const {
    for (int i = 0; i < 300 && out().size() < count; ++i) std::this_thread::sleep_for(100ms);
    ASSERT_GE(out().size(), count) << err();
  }

  // Whether no process of the job is left, soon.
  bool all_gone() const {
    for (int i = 0; i < 50 && !marked().empty(); ++i) std::this_thread::sleep_for(100ms);
    return marked().empty();
  }
  std::vector<pid_t> marked() const {
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const pid_t id = std::atoi(entry.path().filename().c_str());
      std::ifstream file(entry.path() / "cmdline");
      std::stringstream line;
      line << file.rdbuf();
      if (id > 0 && id != child_ && line.str().find(marker_) != std::string::npos)
        found.push_back(id);
    }
    return found;
  }

  pid_t child_ = -1;

 private:
  std::vector<std::string> lines_of(const std::string& name) const {
    std::vector<std::string> lines;
    std::ifstream in(scratch_ / name);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

  static int count_;
  std::string marker_;
  ScratchDirectory scratch_;
};
int RunnerTest::count_ = 0;

const std::string kRank = "r=$OMPI_COMM_WORLD_RANK; ";
// Sleeps in short pieces, so that traps run soon; ends by itself after 60 s.
const std::string kSleep = "echo ready; i=0; while [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done";

TEST_F(RunnerTest, OutputIsPrefixedAndExitCodeIsZero) {
  start(job(2, kRank + "printf 'half of '; sleep 0.2; echo rank $r; echo error $r >&2"));
  EXPECT_EQ(finish(), 0);
  EXPECT_THAT(out(), UnorderedElementsAre("[0] half of rank 0", "[1] half of rank 1"));
  EXPECT_THAT(err(), HasSubstr("[0] error 0\n"));
  EXPECT_THAT(err(), HasSubstr("[1] error 1\n"));
}

TEST_F(RunnerTest, TheJobsExitCodeIsItsOwn) {
  start(job(2, kRank + "exit $((r * 7))"));
  EXPECT_EQ(finish(), 7);
}

TEST_F(RunnerTest, OneSignalAsksEveryRankToStop) {
  for (const int signal : {SIGINT, SIGTERM}) {
    start(job(2, kRank + "trap 'echo saved $r; exit 0' USR1; " + kSleep));
    wait_for_lines(2);
    kill(child_, signal);
    EXPECT_EQ(finish(), 0) << err();
    EXPECT_THAT(out(), ::testing::IsSupersetOf({"[0] saved 0", "[1] saved 1"}));
    EXPECT_TRUE(all_gone());
  }
}

TEST_F(RunnerTest, ASecondSignalStopsAtOnce) {
  start(job(2, "trap '' USR1; " + kSleep));
  wait_for_lines(2);
  kill(child_, SIGINT);
  std::this_thread::sleep_for(500ms);
  EXPECT_FALSE(marked().empty());
  kill(child_, SIGINT);
  EXPECT_NE(finish(), 0);
  EXPECT_TRUE(all_gone());
}

TEST_F(RunnerTest, PatienceEnds) {
  start(job(2, "trap '' USR1; " + kSleep), {.patience_seconds = 0.5});
  wait_for_lines(2);
  kill(child_, SIGTERM);
  EXPECT_NE(finish(), 0);
  EXPECT_TRUE(all_gone());
}

TEST_F(RunnerTest, NothingIsLeftWhenTheRunnerIsKilled) {
  start(job(2, kSleep));
  wait_for_lines(2);
  kill(child_, SIGKILL);
  EXPECT_EQ(finish(), 128 + SIGKILL);
  EXPECT_TRUE(all_gone());
}

TEST_F(RunnerTest, ARankThatDiesEndsTheJob) {
  start(job(2, kRank + "if [ $r = 1 ]; then kill -KILL $$; fi; " + kSleep));
  EXPECT_EQ(finish(), 128 + SIGKILL) << err();
  EXPECT_TRUE(all_gone());
}

TEST_F(RunnerTest, WithoutPrefixOutputPassesUnchanged) {
  Job plain = job(1, "echo plain");
  plain.prefix = false;
  std::erase(plain.argv, "--tag-output");
  start(plain);
  EXPECT_EQ(finish(), 0);
  EXPECT_THAT(out(), ::testing::ElementsAre("plain"));
}

TEST(RunnerErrorTest, AMissingStarterIsNamed) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nowhere::", 1);
  EXPECT_EQ(message_of<InvalidArgument>([] {
              run_job({.argv = {"mpirun", "-n", "1", "true"}});
            }),
            "launch: mpirun is not in PATH; install Open MPI (Debian: openmpi-bin)");
  EXPECT_THAT(message_of<InvalidArgument>([] {
                run_job({.starter = Starter::srun, .argv = {"env", "A=b", "srun", "true"}});
              }),
              HasSubstr("srun is not in PATH"));
  setenv("PATH", path.c_str(), 1);
}

}  // namespace
}  // namespace hecate::launch
