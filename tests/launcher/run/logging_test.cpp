#include "launcher/run/logging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launcher {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

std::string logged(const LogOptions& options) {
  ::testing::internal::CaptureStderr();
  start_logging(options);
  spdlog::debug("hidden");
  spdlog::warn("disk is nearly full");
  return ::testing::internal::GetCapturedStderr();
}

TEST(LoggingTest, OneRankLogsToStandardError) {
  EXPECT_THAT(logged({}), MatchesRegex("..:..:.. warning disk is nearly full\n"));
}

TEST(LoggingTest, TheOneRankThatSpeaksIsNotNamed) {
  EXPECT_THAT(logged({.ranks = 4}), MatchesRegex("..:..:.. warning disk is nearly full\n"));
}

TEST(LoggingTest, TerminalStatusLineIsClearedFirst) {
  EXPECT_THAT(logged({.terminal = true}), StartsWith("\r\x1b[K"));
}

TEST(LoggingTest, OtherRanksLogToTheirFileOnly) {
  ScratchDirectory scratch;
  EXPECT_EQ(logged({.rank = 3, .ranks = 4, .file = scratch / "logs/rank-3.log"}), "");
  EXPECT_THAT(io::read_file(scratch / "logs/rank-3.log"),
              HasSubstr(" warning [rank 3] disk is nearly full\n"));
  EXPECT_EQ(logged({.rank = 3, .ranks = 4}), "");
}

TEST(LoggingTest, TheFirstRankMayKeepAFileToo) {
  ScratchDirectory scratch;
  const std::string terminal =
      logged({.ranks = 2, .file = scratch / "rank-0.log", .terminal = true});
  EXPECT_THAT(terminal, StartsWith("\r\x1b[K"));
  EXPECT_THAT(io::read_file(scratch / "rank-0.log"),
              MatchesRegex("....-..-.. ..:..:.. warning .rank 0. disk is nearly full\n"));
}

TEST(LoggingTest, ALaterStartAppends) {
  ScratchDirectory scratch;
  const LogOptions options{.rank = 1, .ranks = 2, .file = scratch / "log"};
  logged(options);
  logged(options);
  const std::string text = io::read_file(scratch / "log");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

std::string failed(const LogOptions& options) {
  start_logging(options);
  ::testing::internal::CaptureStderr();
  report_failure("no {} such file");
  return ::testing::internal::GetCapturedStderr();
}

TEST(FailureTest, ComesOnceToTheTerminalAndToTheFile) {
  ScratchDirectory scratch;
  EXPECT_EQ(failed({}), "hecate: no {} such file\n");
  EXPECT_EQ(failed({.rank = 3, .ranks = 4}), "hecate: rank 3: no {} such file\n");
  for (const int rank : {0, 3}) {
    const std::filesystem::path file = scratch / std::to_string(rank);
    EXPECT_EQ(failed({.rank = rank, .ranks = 4, .file = file}),
              "hecate: rank " + std::to_string(rank) + ": no {} such file\n");
    EXPECT_THAT(io::read_file(file), HasSubstr(" critical "));
    EXPECT_THAT(io::read_file(file), HasSubstr("no {} such file\n"));
  }
}

TEST(LoggingTest, UnwritableFileIsNamed) {
  EXPECT_THAT(
      message_of<IoError>([] { start_logging({.rank = 1, .ranks = 2, .file = "/proc/x/log"}); }),
      StartsWith("/proc/x/log: open log: "));
}

TEST(LoggingTest, UnknownLevelNamesTheNearest) {
  EXPECT_EQ(message_of<InvalidArgument>([] { start_logging({.level = "warn"}); }),
            "log level 'warn' is unknown: expected trace, debug, info, warning, error or off; "
            "nearest: warning");
}

}  // namespace
}  // namespace hecate::launcher
