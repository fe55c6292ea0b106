#pragma once
#include <gtest/gtest.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/launcher/train/tiny_run.h"

namespace hecate::launcher {

/// Populations of the real program in a directory that all their processes have on their command
/// lines or as the controller's address. What a test leaves running is killed.
class PopulationJobTest : public ::testing::Test {
 protected:
  PopulationJobTest();
  ~PopulationJobTest() override;

  struct Outcome {
    int code = 0;  ///< 128 + N for a process that signal N ended
    std::string out;
  };

  std::string at(const std::string& name) const { return (tiny_.root() / name).string(); }
  /// Writes the configuration `name`: four members of the tiny model on two slots, 12 steps,
  /// intervals of 3; learning rate and balance loss are searched.
  /// @param search in place of these, TOML.
  std::string config(const std::string& name, const std::vector<std::string>& overrides = {},
                     const std::string& search = {}) const;

  /// Starts a shell line in the test's directory as a process group of its own; %H is the program.
  pid_t start(const std::string& line, const std::string& log = "out");
  Outcome wait(pid_t child, double seconds = 60, const std::string& log = "out");
  Outcome run(const std::string& line, double seconds = 60);
  /// Waits until `log` of the population has that many events of a kind.
  void wait_for(const std::string& run, const std::string& event, size_t count) const;
  /// Where the controller of `run` listens; waits for it.
  std::string address(const std::string& run) const;
  /// The processes of the workers that it started.
  std::vector<pid_t> workers(const std::string& run) const;

  /// What every finished population has to be: pictures, log and best model are there, no lease was
  /// reported twice, every member was trained to its end, and training one model along the best
  /// member's values gives its losses bit for bit: so every copy was exact, nothing was lost or
  /// done twice.
  void expect_complete(const std::string& run, bool exact = true);
  size_t events(const std::string& run, const std::string& event) const;

  TinyRun tiny_;

 private:
  std::vector<pid_t> started_;
};

}  // namespace hecate::launcher
