#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>

#include "runtime/io/file.h"
#include "tests/runtime/io/scratch.h"

/// `hecate launch` as a user meets it.
namespace hecate::launch {
namespace {

using hecate::testing::ScratchDirectory;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Outcome {
  int code = -1;
  std::string out, err;
};

class LaunchProgramTest : public ::testing::Test {
 protected:
  // A Slurm job that the tests may run in is not their subject.
  Outcome run(const std::string& arguments, const std::string& variables = "") const {
    const std::string out = scratch_ / "out", err = scratch_ / "err";
    const std::string command = "cd " + scratch_.path().string() + " && env -u SLURM_JOB_ID " +
                                variables + " " HECATE_BINARY_DIR "/hecate launch " + arguments +
                                " >" + out + " 2>" + err;
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, io::read_file(out), io::read_file(err)};
  }

  ScratchDirectory scratch_;
};

TEST_F(LaunchProgramTest, RunsTheProgramOnEveryRank) {
  const Outcome outcome = run("-n 2 --oversubscribe -- --version");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* rank : {"[0] ", "[1] "}) {
    EXPECT_THAT("\n" + outcome.out, HasSubstr(std::string("\n") + rank + "hecate "));
    EXPECT_THAT("\n" + outcome.out, HasSubstr(std::string("\n") + rank + "commit: "));
  }
}

TEST_F(LaunchProgramTest, ErrorsOfTheRanksComeWithTheirCode) {
  const Outcome outcome = run("-n 2 --oversubscribe -- config none.toml");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("] hecate: none.toml: open: No such file or directory\n"));
}

TEST_F(LaunchProgramTest, DryRunPrintsOneLineThatAShellRuns) {
  io::write_file(scratch_ / "hosts", "n0 slots=2\nn1 slots=2\n");
  const Outcome outcome =
      run("--hosts hosts --interface eth0 --dry-run -- train a.toml --set 'data.path=my data'");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("mpirun "));
  EXPECT_THAT(outcome.out, HasSubstr(" -n 4 --host n0:2,n1:2 "));
  EXPECT_THAT(outcome.out, HasSubstr("/hecate train a.toml --set 'data.path=my data'\n"));
  EXPECT_EQ(outcome.out.find('\n'), outcome.out.size() - 1);
}

TEST_F(LaunchProgramTest, InsideASlurmJobSrunIsUsed) {
  const Outcome outcome = run("--dry-run -- train a.toml",
                              "SLURM_JOB_ID=7 SLURM_NTASKS=4 SLURM_JOB_NUM_NODES=2 "
                              "SLURM_TASKS_PER_NODE='2(x2)'");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("srun --ntasks=4 "));
}

TEST_F(LaunchProgramTest, OneSignalSavesTheRun) {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "line " + std::to_string(i) + " of a small text\n";
  io::write_file(scratch_ / "text.txt", text);
  const std::string hecate = HECATE_BINARY_DIR "/hecate";
  // The shell's own signal: from a background job when the first steps are done.
  const std::string script =
      "cd " + scratch_.path().string() + "; " + hecate +
      " data prepare text.txt --tokenizer byte --out set 2>/dev/null; " + hecate +
      " launch -n 1 -- train --preset tiny --set data.path=set --set "
      "train.steps=1000000 --set train.eval_batches=1 --run run >out 2>err & "
      "job=$!; for i in $(seq 300); do "
      "[ \"$(cat run/steps.jsonl 2>/dev/null | wc -l)\" -gt 2 ] && break; "
      "sleep 0.1; done; kill -TERM $job; wait $job; echo $? >code";
  ASSERT_EQ(std::system(("env -u SLURM_JOB_ID sh -c '" + script + "'").c_str()), 0);
  const std::string err = io::read_file(scratch_ / "err");
  EXPECT_EQ(io::read_file(scratch_ / "code"), "0\n") << err;
  EXPECT_THAT(io::read_file(scratch_ / "out"), HasSubstr("[0] stopped after step "));
  EXPECT_THAT(err, HasSubstr("[0] hecate: stopping after this step"));
  EXPECT_THAT(err, Not(HasSubstr("second signal")));
}

TEST_F(LaunchProgramTest, MistakesAreNamed) {
  EXPECT_EQ(run("-n 2 -- trian a.toml").err,
            "hecate: launch: unknown command 'trian' after --; nearest: train\n");
  EXPECT_EQ(run("-n 2 -- launch -n 2 -- train").err, "hecate: launch: cannot launch itself\n");
  EXPECT_EQ(run("-n 0 -- train").err,
            "hecate: launch: -n is '0': expected a number of ranks, at least 1\n");
  EXPECT_EQ(run("-n two -- train").code, 2);
  EXPECT_EQ(run("-- train").err, "hecate: launch: -n N is required: the number of ranks\n");
  const Outcome missing = run("--hosts none -- train");
  EXPECT_EQ(missing.code, 1);
  EXPECT_EQ(missing.err, "hecate: none: open: No such file or directory\n");
  io::write_file(scratch_ / "hosts", "n0 slots=2\nn1 slot=2\n");
  EXPECT_THAT(run("--hosts hosts -- train").err, StartsWith("hecate: hosts:2: expected NAME"));
  EXPECT_THAT(run("-n 100000 -- train").err, HasSubstr("--oversubscribe"));
  EXPECT_EQ(run("-n 2").code, 2);
}

}  // namespace
}  // namespace hecate::launch
