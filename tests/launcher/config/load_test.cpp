#include <gtest/gtest.h>

#include "launcher/config/config.h"
#include "tests/launcher/config/sample.h"

namespace hecate::config::test {
namespace {

Sample loaded(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  Settings settings;
  settings.add_text(toml, "run.toml");
  for (const std::string& each : overrides) settings.add_override(each);
  Sample sample;
  load(settings, sample);
  return sample;
}

TEST(LoadTest, KeepsDefaultsOfKeysThatAreNotSet) {
  EXPECT_EQ(loaded(""), Sample{});
}

TEST(LoadTest, ReadsEveryType) {
  const Sample sample = loaded(R"(
    seed = 7
    [loop]
    steps = 1_000
    fast = true
    length = "5%"
    sizes = [3, 4]
    factors = [0.5, 2]
    names = []
    [engine]
    pace = 1.5
    [[sources]]
    path = "a"
    [[sources]]
    path = "b"
    weight = 2
  )");
  EXPECT_EQ(sample.seed, 7);
  EXPECT_EQ(sample.loop, (Loop{1000, true, "5%", {3, 4}, {0.5, 2.0}, {}}));
  EXPECT_EQ(sample.engine.pace, 1.5);
  EXPECT_EQ(sample.sources, (std::vector<Source>{{"a", 1}, {"b", 2}}));
}

TEST(LoadTest, IntegerServesAsNumber) {
  EXPECT_EQ(loaded("engine.pace = 20").engine.pace, 20.0);
}

TEST(LoadTest, BareStringSetsTheKindOfATable) {
  EXPECT_EQ(loaded("engine = \"paced\"").engine.kind, "paced");
  const Sample sample = loaded("", {"engine=paced", "engine.pace=20"});
  EXPECT_EQ(sample.engine, (Engine{"paced", 20, 2}));
}

TEST(LoadTest, BareKindKeepsTheTablesOtherKeys) {
  const Sample sample = loaded("[engine]\nthreads = 5", {"engine=paced"});
  EXPECT_EQ(sample.engine.kind, "paced");
  EXPECT_EQ(sample.engine.threads, 5);
}

TEST(LoadTest, LaterOverridesWin) {
  EXPECT_EQ(loaded("loop.steps = 5", {"loop.steps=6", " loop . steps = 7 "}).loop.steps, 7);
}

TEST(LoadTest, OverrideTakesWhatIsNotTomlAsAString) {
  EXPECT_EQ(loaded("", {"loop.length=a b#c"}).loop.length, "a b#c");
  EXPECT_EQ(loaded("", {"loop.length=\"quoted\""}).loop.length, "quoted");
  EXPECT_EQ(loaded("", {"loop.length="}).loop.length, "");
  EXPECT_EQ(loaded("", {"loop.length=x=y"}).loop.length, "x=y");
  EXPECT_EQ(loaded("", {"loop.length=1\nseed = 3"}).seed, 0);
}

TEST(LoadTest, OverrideGivesAStringKeyTheTextOfANumber) {
  EXPECT_EQ(loaded("", {"loop.length=0200"}).loop.length, "0200");
  EXPECT_EQ(loaded("", {"loop.length=200"}).loop.length, "200");
  EXPECT_EQ(loaded("", {"loop.length=true"}).loop.length, "true");
}

TEST(LoadTest, OverrideReplacesListsAndTables) {
  EXPECT_EQ(loaded("loop.sizes = [5]", {"loop.sizes=[6, 7]"}).loop.sizes,
            (std::vector<int64_t>{6, 7}));
  EXPECT_EQ(loaded("[[sources]]\npath='x'", {"sources=[{path='y', weight=3}]"}).sources,
            (std::vector<Source>{{"y", 3}}));
  EXPECT_EQ(loaded("", {"engine={threads=3, pace=2}"}).engine, (Engine{"cpu", 2, 3}));
}

TEST(LoadTest, FindsTheLastValueOfAKey) {
  Settings settings;
  settings.add_text("[loop]\nsteps = 1", "a.toml");
  EXPECT_EQ(settings.find("loop.fast"), nullptr);
  EXPECT_EQ(settings.find("loop.steps.more"), nullptr);
  EXPECT_EQ(settings.find("loop.steps")->integer, 1);
  settings.add_override("loop.steps=2");
  settings.add_override("loop.fast=true");
  EXPECT_EQ(settings.find("loop.steps")->integer, 2);
}

TEST(LoadTest, UncheckedTablesKeepImpossibleValues) {
  Settings settings;
  settings.add_override("engine={kind='paced', pace=0}");
  Sample sample;
  EXPECT_THROW(load(settings, sample), InvalidArgument);
  load(settings, sample, {"engine"});
  EXPECT_EQ(sample.engine.kind, "paced");
}

}  // namespace
}  // namespace hecate::config::test
