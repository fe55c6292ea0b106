#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/config/config.h"
#include "tests/launcher/config/sample.h"

namespace hecate::config::test {
namespace {

using ::testing::StartsWith;

std::string error_in(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  return error_of([&] {
    Settings settings;
    settings.add_text(toml, "run.toml");
    for (const std::string& each : overrides) settings.add_override(each);
    Sample sample;
    load(settings, sample);
  });
}

TEST(MessageTest, UnknownKeyNamesLineAndNearestSibling) {
  EXPECT_EQ(error_in("[loop]\n\nstpes = 3"),
            "run.toml:3: loop.stpes is an unknown key; nearest: loop.steps");
  EXPECT_EQ(error_in("[lop]\nsteps = 3"), "run.toml:1: lop is an unknown key; nearest: loop");
  EXPECT_EQ(error_in("[[sources]]\npath = 'x'\nwieght = 1"),
            "run.toml:3: sources[0].wieght is an unknown key; nearest: sources[0].weight");
}

TEST(MessageTest, KeyOfAnotherTableIsFound) {
  EXPECT_EQ(error_in("steps = 3"), "run.toml:1: steps is an unknown key; nearest: loop.steps");
  EXPECT_EQ(error_in("", {"engine.length=3"}),
            "--set engine.length=3: engine.length is an unknown key; nearest: loop.length");
}

TEST(MessageTest, KeyLikeNoOtherListsTheKnownOnes) {
  EXPECT_EQ(
      error_in("[engine]\nxyzzyplugh = 3"),
      "run.toml:2: engine.xyzzyplugh is an unknown key; known in engine: kind, pace, threads");
  EXPECT_EQ(
      error_in("qqqqqqqqqq = 3"),
      "run.toml:1: qqqqqqqqqq is an unknown key; known at the top: seed, engine, loop, sources");
}

TEST(MessageTest, OverrideTypoNamesNearestKey) {
  EXPECT_EQ(error_in("", {"loop.stepz=3"}),
            "--set loop.stepz=3: loop.stepz is an unknown key; nearest: loop.steps");
}

TEST(MessageTest, MalformedOverrideSaysWhatIsExpected) {
  EXPECT_EQ(error_in("", {"loop.steps"}), "--set loop.steps: expected KEY=VALUE");
  EXPECT_THAT(error_in("", {"loop..steps=3"}), StartsWith("--set loop..steps=3: a key is empty"));
  EXPECT_THAT(error_in("", {"=3"}), StartsWith("--set =3: a key is empty"));
}

TEST(MessageTest, WrongTypeNamesFoundAndExpected) {
  EXPECT_EQ(error_in("loop.steps = \"four\""),
            "run.toml:1: loop.steps is \"four\" (string): expected an integer, at least 1");
  EXPECT_EQ(error_in("loop.steps = 4.0"),
            "run.toml:1: loop.steps is 4 (number): expected an integer, at least 1");
  EXPECT_EQ(error_in("loop.fast = 1"),
            "run.toml:1: loop.fast is 1 (integer): expected a boolean (true or false)");
  EXPECT_EQ(error_in("loop.length = 200"),
            "run.toml:1: loop.length is 200 (integer): expected a string; write it in quotes");
  EXPECT_EQ(error_in("seed = 2024-01-01"),
            "run.toml:1: seed is a date or time: expected an integer");
  EXPECT_EQ(error_in("loop = 3"), "run.toml:1: loop is 3 (integer): expected a table");
  EXPECT_EQ(error_in("engine = 3"),
            "run.toml:1: engine is 3 (integer): expected a table or a kind (string)");
  EXPECT_EQ(error_in("[sources]\npath = 'x'"),
            "run.toml:1: sources is a table: expected a list of tables");
  EXPECT_EQ(error_in("sources = [3]"),
            "run.toml:1: sources[0] is 3 (integer): expected a list of tables");
  EXPECT_EQ(error_in("loop.sizes = 3"),
            "run.toml:1: loop.sizes is 3 (integer): expected a list of integers, from 0 to 9");
  EXPECT_EQ(error_in("loop.names = ['a', 3]"),
            "run.toml:1: loop.names[1] is 3 (integer): expected a list of strings; write it in "
            "quotes");
}

TEST(MessageTest, ValueOutOfLimitsNamesThem) {
  EXPECT_EQ(error_in("\n[loop]\nsteps = 0"),
            "run.toml:3: loop.steps is 0 (integer): expected an integer, at least 1");
  EXPECT_EQ(error_in("", {"engine.pace=1000.5"}),
            "--set engine.pace=1000.5: engine.pace is 1000.5 (number): expected a number, from 0 "
            "to 1000");
  EXPECT_EQ(error_in("loop.sizes = [1, 10]"),
            "run.toml:1: loop.sizes[1] is 10 (integer): expected a list of integers, from 0 to 9");
}

TEST(MessageTest, UnknownChoiceNamesNearestAndAll) {
  EXPECT_EQ(error_in("engine.kind = 'pace'"),
            "run.toml:1: engine.kind is \"pace\" (string): expected one of cpu, paced; nearest: "
            "paced");
  EXPECT_EQ(error_in("engine = 'quantum'"),
            "run.toml:1: engine.kind is \"quantum\" (string): expected one of cpu, paced");
}

TEST(MessageTest, NumbersThatDoNotFitAreRefused) {
  EXPECT_EQ(error_in("engine.pace = nan"),
            "run.toml:1: engine.pace is nan (number): expected a number, from 0 to 1000 and "
            "finite");
  EXPECT_EQ(error_in("loop.factors = [-inf]"),
            "run.toml:1: loop.factors[0] is -inf (number): expected a list of numbers and finite");
  EXPECT_EQ(error_in("loop.factors = [9007199254740993]"),
            "run.toml:1: loop.factors[0] is 9007199254740993 (integer): expected a list of numbers "
            "that a double holds exactly");
  EXPECT_EQ(error_in("loop.factors = [9007199254740992]"), "(nothing thrown)");
}

TEST(MessageTest, TextThatIsNotTomlNamesLineAndColumn) {
  EXPECT_THAT(error_in("seed = 1\nloop ="), StartsWith("run.toml:2:"));
  EXPECT_THAT(error_in("seed = 1\nseed = 2"), StartsWith("run.toml:2:"));
}

TEST(MessageTest, CrossFieldErrorsPointAtTheFirstKeyThatWasSet) {
  EXPECT_EQ(error_in("seed = 1\n[engine]\nthreads = 20"),
            "run.toml:3: the seed aside, loop.steps = 10 is below engine.threads = 20");
  EXPECT_EQ(error_in("seed = 1\n[engine]\nthreads = 20", {"loop.steps=12"}),
            "--set loop.steps=12: the seed aside, loop.steps = 12 is below engine.threads = 20");
  EXPECT_EQ(error_in("engine.pace = 0", {"engine=paced"}),
            "--set engine=paced: engine.kind = paced needs engine.pace above 0");
  EXPECT_EQ(error_in("\n[[sources]]\nweight = 13"),
            "run.toml:2: sources: weight 13 brings bad luck");
  EXPECT_EQ(error_in("[engine]\npace = 1\n[loop]\nsteps = 3", {"seed=13"}),
            "--set seed=13: a seed of 13 frightens the loop");
}

TEST(MessageTest, MissingFileIsNamed) {
  Settings settings;
  try {
    settings.add_file("no-such-file.toml");
    FAIL() << "read a file that does not exist";
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), StartsWith("no-such-file.toml: "));
  }
}

}  // namespace
}  // namespace hecate::config::test
