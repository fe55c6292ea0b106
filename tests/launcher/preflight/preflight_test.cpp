#include "launcher/preflight/preflight.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/collectives/threads.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launcher {
namespace {

using hecate::testing::message_of;

// What each of four ranks throws, given its own texts.
std::vector<std::string> errors(
    const std::function<std::pair<std::string, std::string>(int rank)>& texts) {
  std::vector<std::string> found(4);
  collectives::run_ranks(4, {}, [&](const collectives::Communicator& comm) {
    const std::pair<std::string, std::string> own = texts(comm.rank());
    found[static_cast<size_t>(comm.rank())] =
        message_of<InvalidArgument>([&] { check_same_start(comm, own.first, own.second); });
  });
  return found;
}

const std::string kConfig = "seed = 1\n\n[train]\nsteps = 10\n";
const std::string kBuild = "hecate 0.1.0\ncommit: abc\n";

TEST(PreflightTest, RanksThatAgreeGoOn) {
  const auto found = errors([](int) { return std::pair(kConfig, kBuild); });
  for (const std::string& error : found) EXPECT_EQ(error, "(nothing thrown)");
}

TEST(PreflightTest, AnotherConfigurationIsNamedOnEveryRank) {
  const auto found = errors([](int rank) {
    return std::pair(rank == 2 ? "seed = 1\n\n[train]\nsteps = 2000\n" : kConfig, kBuild);
  });
  for (const std::string& error : found)
    EXPECT_EQ(error,
              "ranks were started with different configurations: train.steps = 10 on ranks 0, 1, "
              "3, 2000 on rank 2");
}

TEST(PreflightTest, AnotherBuildIsNamedOnEveryRank) {
  const auto found = errors([](int rank) {
    return std::pair(kConfig, rank == 0 ? kBuild : std::string("hecate 0.1.0\ncommit: abd\n"));
  });
  for (const std::string& error : found)
    EXPECT_EQ(error, "ranks run different builds: commit = abc on rank 0, abd on ranks 1-3");
}

TEST(PreflightTest, CommentsDoNotMakeADifference) {
  const auto found = errors(
      [](int rank) { return std::pair(rank == 0 ? "# mine\n" + kConfig : kConfig, kBuild); });
  for (const std::string& error : found) EXPECT_EQ(error, "(nothing thrown)");
}

}  // namespace
}  // namespace hecate::launcher
