#include "launcher/preflight/identity.h"

#include <gtest/gtest.h>

#include <vector>

#include "launcher/config/run_config.h"

namespace hecate::launcher {
namespace {

using Texts = std::vector<std::string>;

std::string printed(const std::vector<std::string>& overrides) {
  config::Settings settings;
  for (const std::string& each : overrides) settings.add_override(each);
  return config::to_toml(load_run_config(settings, {"data"}));
}

TEST(RankListTest, NeighboursAreJoined) {
  const auto list = [](std::vector<int> ranks) { return rank_list(ranks); };
  EXPECT_EQ(list({3}), "rank 3");
  EXPECT_EQ(list({0, 1}), "ranks 0, 1");
  EXPECT_EQ(list({0, 1, 2, 5, 7, 8, 9, 10}), "ranks 0-2, 5, 7-10");
}

TEST(ConfigDifferenceTest, EqualConfigurationsHaveNone) {
  const std::string config = printed({});
  EXPECT_EQ(config_difference(Texts{config, config, config}), "");
  EXPECT_EQ(config_difference(Texts{config, "# a comment\n\n" + config}), "");
  EXPECT_EQ(config_difference(Texts{config}), "");
}

TEST(ConfigDifferenceTest, TheFirstDifferingKeyComesWithValuesAndRanks) {
  const std::string config = printed({});
  const std::string other = printed({"train.steps=7", "model.layers=3"});
  EXPECT_EQ(config_difference(Texts{config, config, other, config}),
            "train.steps = 1000 on ranks 0, 1, 3, 7 on rank 2");
  EXPECT_EQ(config_difference(Texts{printed({"seed=1"}), printed({"seed=2"}), printed({"seed=3"})}),
            "seed = 1 on rank 0, 2 on rank 1, 3 on rank 2");
}

TEST(ConfigDifferenceTest, KeysThatSomeRanksLackAreNamed) {
  const std::string config = printed({});
  const std::string group = printed({"optimizer.groups=[{pattern='a'}]"});
  const std::string other = printed({"optimizer.groups=[{pattern='b'}]"});
  EXPECT_EQ(config_difference(Texts{group, other}),
            "optimizer.groups[0].pattern = \"a\" on rank 0, \"b\" on rank 1");
  EXPECT_EQ(config_difference(Texts{config, group}),
            "optimizer.groups = [] on rank 0, (not set) on rank 1");
  EXPECT_EQ(config_difference(Texts{"[a]\nx = 1\n", "[a]\nx = 1\n[b]\ny = \"p = q\"\n"}),
            "b.y = (not set) on rank 0, \"p = q\" on rank 1");
}

TEST(BuildDifferenceTest, TheFirstDifferingLineIsNamed) {
  const std::string build = "hecate 0.1.0\ncommit: abc\nisa: avx2\n";
  EXPECT_EQ(build_difference(Texts{build, build}), "");
  EXPECT_EQ(build_difference(Texts{build, "hecate 0.1.0\ncommit: abd\nisa: avx512\n"}),
            "commit = abc on rank 0, abd on rank 1");
  EXPECT_EQ(build_difference(Texts{build, "hecate 0.2.0\ncommit: abc\nisa: avx2\n"}),
            "version = hecate 0.1.0 on rank 0, hecate 0.2.0 on rank 1");
}

}  // namespace
}  // namespace hecate::launcher
