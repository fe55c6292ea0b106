#include "launcher/run/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launcher {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

TEST(RunDirectoryTest, CreateMakesParentsAndWritesTheConfig) {
  ScratchDirectory scratch;
  const RunDirectory run = RunDirectory::create(scratch / "a/b", "seed = 1\n");
  EXPECT_THAT(io::read_file(scratch / "a/b/config.toml"), EndsWith("\nseed = 1\n"));
  EXPECT_EQ(RunDirectory::open(scratch / "a/b").path(), run.path());
}

TEST(RunDirectoryTest, AnEmptyDirectoryIsTaken) {
  ScratchDirectory scratch;
  RunDirectory::create(scratch.path(), "");
  EXPECT_TRUE(std::filesystem::exists(scratch / "config.toml"));
}

TEST(RunDirectoryTest, ARunIsNotOverwritten) {
  ScratchDirectory scratch;
  RunDirectory::create(scratch.path(), "seed = 1\n");
  EXPECT_EQ(
      message_of<InvalidArgument>([&] { RunDirectory::create(scratch.path(), "seed = 2\n"); }),
      scratch.path().string() +
          ": holds a run already; continue it with --resume or name another --run");
  EXPECT_THAT(io::read_file(scratch / "config.toml"), HasSubstr("seed = 1"));
}

TEST(RunDirectoryTest, AForeignDirectoryIsRefusedAndLeftAlone) {
  ScratchDirectory scratch;
  io::write_file(scratch / "config.toml", "mine = true\n");
  EXPECT_EQ(message_of<InvalidArgument>([&] { RunDirectory::create(scratch.path(), ""); }),
            scratch.path().string() + ": expected a new or empty run directory, found config.toml");
  EXPECT_EQ(io::read_file(scratch / "config.toml"), "mine = true\n");
  EXPECT_THAT(message_of<InvalidArgument>([&] { RunDirectory::open(scratch.path()); }),
              HasSubstr("not a run directory"));
}

TEST(RunDirectoryTest, AnUnwritablePlaceIsNamedWithTheReason) {
  ScratchDirectory scratch;
  io::write_file(scratch / "file", "x");
  EXPECT_THAT(message_of<IoError>([&] { RunDirectory::create(scratch / "file/run", ""); }),
              StartsWith((scratch / "file/run").string() + ": create run directory: "));
  EXPECT_THAT(message_of<IoError>([&] { RunDirectory::create("/proc/hecate-run", ""); }),
              StartsWith("/proc/hecate-run: create run directory: "));
}

TEST(RunDirectoryTest, OpenNamesAMissingDirectory) {
  EXPECT_EQ(message_of<InvalidArgument>([] { RunDirectory::open("no/such/run"); }),
            "no/such/run: no such run directory");
}

TEST(RunDirectoryTest, ADiscardedRunIsGone) {
  ScratchDirectory scratch;
  const RunDirectory run = RunDirectory::create(scratch / "run", "");
  std::filesystem::create_directories(run.checkpoints());
  run.discard();
  EXPECT_FALSE(std::filesystem::exists(scratch / "run"));
  EXPECT_NO_THROW(run.discard());
}

TEST(RunDirectoryTest, FreshPathsAreDatedAndNeverTaken) {
  ScratchDirectory scratch;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(scratch.path());
  const std::string first = RunDirectory::fresh_path("demo");
  EXPECT_THAT(first, MatchesRegex("runs/[0-9]+-[0-9]+-demo"));
  for (int i = 0; i < 3; ++i) {
    const std::filesystem::path fresh = RunDirectory::fresh_path("demo");
    EXPECT_FALSE(std::filesystem::exists(fresh)) << fresh;
    RunDirectory::create(fresh, "");
  }
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace hecate::launcher
