#include "scheduler/pbt/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "runtime/base/error.h"
#include "tests/scheduler/pbt/wire.h"

namespace hecate::pbt {
namespace {

using ::testing::ElementsAre;

TEST(JournalTest, KeepsWholeLinesAndCutsATornOne) {
  const ScratchDirectory scratch;
  const auto path = scratch.path() / "journal";
  {
    Journal journal(path);
    journal.append("one");
    journal.append("two");
    journal.sync();
    journal.append("never synced");
  }
  std::ofstream(path, std::ios::app) << "torn";
  Journal again(path);
  EXPECT_THAT(again.lines(), ElementsAre("one", "two"));
  again.append("three");
  again.sync();
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(text, "one\ntwo\nthree\n");
}

TEST(JournalTest, BelongsToOneProcess) {
  const ScratchDirectory scratch;
  const Journal first(scratch.path() / "journal");
  EXPECT_THROW(Journal(scratch.path() / "journal"), InvalidArgument);
}

TEST(JournalTest, AFailedAppendLeavesNothingAndIsSaid) {
  const ScratchDirectory scratch;
  const auto path = scratch.path() / "journal";
  Journal journal(path);
  journal.append("kept");
  journal.sync();
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 8;
  setrlimit(RLIMIT_FSIZE, &small);
  journal.append("does not fit");
  EXPECT_THROW(journal.sync(), IoError);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(std::filesystem::file_size(path), 5u);
  EXPECT_THROW(journal.sync(), IoError);  // what it said is not taken back
}

}  // namespace
}  // namespace hecate::pbt
