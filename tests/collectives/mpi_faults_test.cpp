// Kills and stalls ranks of real jobs. A job must end by itself, with a non-zero code, and leave
// no process behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <tuple>

#include "collectives/flight_comparison.h"
#include "tests/runtime/io/scratch.h"

namespace {

using testing::HasSubstr;

struct Outcome {
  std::string output;
  int code = 0;
  double seconds = 0;
};

Outcome run(const std::string& command) {
  Outcome outcome;
  const auto begin = std::chrono::steady_clock::now();
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer{};
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) outcome.output += buffer.data();
  outcome.code = pclose(pipe);
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return outcome;
}

size_t occurrences(const std::string& text, const std::string& word) {
  size_t count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

using Parameter = std::tuple<const char*, const char*, bool>;

class MpiFaultTest : public testing::TestWithParam<Parameter> {
 protected:
  hecate::testing::ScratchDirectory scratch_;
};

TEST_P(MpiFaultTest, EndsTheJobAndNamesTheRank) {
  const auto& [how, when, recovery] = GetParam();
  const std::string command = std::string("timeout -k 1 30 ") + HECATE_MPIEXEC + " -np 3 " +
                              (recovery ? "--enable-recovery " : "") + HECATE_FAULT_PROGRAM + " " +
                              how + " " + when + " " + scratch_.path().string();
  const Outcome outcome = run(command);
  // With --enable-recovery mpirun itself reports success whatever its ranks return; the survivors
  // print on the way to their non-zero exit.
  if (!recovery) {
    EXPECT_NE(outcome.code, 0) << outcome.output;
  }
  EXPECT_LT(outcome.seconds, 15) << outcome.output;
  const bool stalled = std::string(how) != "kill";
  if (recovery) {
    // Both survivors tell.
    EXPECT_EQ(occurrences(outcome.output, "survivor:"), 2u) << outcome.output;
  }
  if (recovery || stalled) {
    EXPECT_THAT(outcome.output, HasSubstr("timed out on rank"));
    EXPECT_THAT(outcome.output, HasSubstr("waiting for rank"));
    // Before: nobody got past the reduction; after: nobody past the barrier that follows.
    EXPECT_THAT(outcome.output, HasSubstr("odd one out: rank 2, which left no record"));
    const std::string at = when == std::string("before")  ? "in all_reduce (operation 1 of"
                           : when == std::string("after") ? "in barrier (operation 2 of"
                                                          : "in ";
    EXPECT_THAT(outcome.output, HasSubstr(at));
    EXPECT_EQ(compare(hecate::collectives::read_records(scratch_.path().string())).odd,
              std::vector<int>{2});
  }
  const Outcome left = run(std::string("pgrep -f ") + HECATE_FAULT_PROGRAM + "[[:space:]]" + how);
  EXPECT_EQ(left.output, "") << "processes left behind";
}

std::string name_of(const testing::TestParamInfo<Parameter>& instance) {
  return std::string(std::get<0>(instance.param)) + "_" + std::get<1>(instance.param) +
         (std::get<2>(instance.param) ? "_recovery" : "_plain");
}

INSTANTIATE_TEST_SUITE_P(Faults, MpiFaultTest,
                         testing::Combine(testing::Values("kill", "stall"),
                                          testing::Values("before", "inside", "after"),
                                          testing::Bool()),
                         name_of);

// Not even the communication thread answers. (With --enable-recovery mpirun itself would wait for
// the frozen process.)
INSTANTIATE_TEST_SUITE_P(Frozen, MpiFaultTest,
                         testing::Combine(testing::Values("freeze"),
                                          testing::Values("before", "inside", "after"),
                                          testing::Values(false)),
                         name_of);

}  // namespace
