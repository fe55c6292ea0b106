#pragma once
#include <gtest/gtest.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/launcher/train/tiny_run.h"

namespace hecate::launcher {

/// Jobs of the real program under the real mpirun, in a directory that all their processes have on
/// their command lines. What a test leaves running is killed.
class MpiJobTest : public ::testing::Test {
 protected:
  MpiJobTest();
  ~MpiJobTest() override;

  struct Outcome {
    int code = 0;  ///< 128 + N for a process that signal N ended
    double seconds = 0;
    std::string out, err;
  };

  /// A file or directory of the test, as an absolute path.
  std::string at(const std::string& name) const { return (tiny_.root() / name).string(); }
  /// Writes the configuration `name`: the tiny model on a batch of 12 sequences, with the copies of
  /// experts set by hand, so that two runs on equal ranks are equal to the bit.
  std::string config(const std::string& name, const std::vector<std::string>& overrides = {}) const;

  /// "mpirun OPTIONS -np RANKS hecate ARGUMENTS".
  static std::string mpirun(int ranks, const std::string& arguments,
                            const std::string& options = "");
  /// "hecate launch OPTIONS -n RANKS -- ARGUMENTS".
  static std::string launch(int ranks, const std::string& arguments,
                            const std::string& options = "");
  static std::string program(const std::string& arguments);

  /// Starts a shell line in the test's directory as a process of its own, in place of the shell.
  void start(const std::string& line);
  pid_t started() const { return child_; }
  /// Waits for it, and fails the test where it took longer since its start.
  Outcome finish(double seconds = 60);
  Outcome run(const std::string& line);
  std::string err() const;

  /// Waits for the run's first `steps` lines of steps.jsonl.
  void wait_for_steps(const std::string& run, int64_t steps) const;
  /// The process of a rank of the job that runs.
  pid_t process_of(int rank) const;
  /// Whether no process of the test is left, within a few seconds.
  bool all_gone() const;

  std::vector<std::string> losses(const std::string& run) const;
  /// Names of the run's checkpoints, newest first.
  std::vector<std::string> checkpoints(const std::string& run) const;
  bool exists(const std::string& name) const;

 private:
  std::vector<pid_t> processes() const;

  TinyRun tiny_;
  pid_t child_ = -1;
  double started_at_ = 0;
};

size_t occurrences(const std::string& text, const std::string& word);

/// Losses of a run on other ranks are those of the first within 1e-4 of them.
void expect_near(const std::vector<std::string>& found, const std::vector<std::string>& expected);

}  // namespace hecate::launcher
