#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "launcher/config/config.h"
#include "tests/launcher/config/sample.h"

namespace hecate::config::test {
namespace {

using ::testing::HasSubstr;

Sample round_trip(const Sample& sample) {
  Settings settings;
  settings.add_text(to_toml(sample), "printed");
  Sample again;
  // Defaults must not stand in for keys that were not printed.
  again.seed = -1;
  again.engine = {"paced", 9, 9};
  again.loop = {99, true, "other", {9}, {9}, {"other"}};
  again.sources = {{"other", 9}};
  load(settings, again);
  return again;
}

TEST(PrintTest, DefaultsRoundTrip) {
  EXPECT_EQ(round_trip(Sample{}), Sample{});
}

TEST(PrintTest, AwkwardValuesRoundTrip) {
  Sample sample;
  sample.seed = std::numeric_limits<int64_t>::min();
  sample.engine = {"paced", 1e-300, 1};
  sample.loop.steps = std::numeric_limits<int64_t>::max();
  sample.loop.length = "quotes \" and \\ tab\t newline\n bell\a del\x7f \xc3\xa9 # = ]";
  sample.loop.factors = {0.1, 1e22, -0.0, 1.0 / 3, 5e-324, 1.7976931348623157e308, 4};
  sample.loop.names = {"", "a, b", "'"};
  sample.loop.sizes = {};
  sample.sources = {{"a\\b", 0.1}, {"c", 2}};
  EXPECT_EQ(round_trip(sample), sample);
}

TEST(PrintTest, ShowsTablesUnderTheirNames) {
  Sample sample;
  sample.sources = {{"x", 2}};
  EXPECT_EQ(to_toml(sample), R"(seed = 0

[engine]
kind = "cpu"
pace = 0.25
threads = 2

[loop]
steps = 10
fast = false
length = "10%"
sizes = [1, 2]
factors = []
names = ["a"]

[[sources]]
path = "x"
weight = 2.0
)");
}

TEST(PrintTest, ExplainGivesTypeDefaultLimitsAndDoc) {
  Sample sample;
  const std::string text = explain(bind(sample));
  EXPECT_THAT(text, HasSubstr("seed = 0  (integer)\n      of everything\n"));
  EXPECT_THAT(text, HasSubstr("[engine]  the device (a bare string sets `kind`)\n"));
  EXPECT_THAT(text,
              HasSubstr("kind = \"cpu\"  (string; one of cpu, paced)\n      what computes\n"));
  EXPECT_THAT(text, HasSubstr("pace = 0.25  (number; from 0 to 1000)\n      speed\n"));
  EXPECT_THAT(text, HasSubstr("\n[loop]  the loop\n  steps = 10  (integer; at least 1)\n"));
  EXPECT_THAT(text, HasSubstr("[[sources]]  what is read\n  path = \"\"  (string)\n"));
}

TEST(PrintTest, ListsEveryKeyOnce) {
  Sample sample;
  EXPECT_EQ(list_keys(bind(sample)),
            "seed: integer\n"
            "engine.kind: string, one of cpu, paced\n"
            "engine.pace: number, from 0 to 1000\n"
            "engine.threads: integer, from 1 to 64\n"
            "loop.steps: integer, at least 1\n"
            "loop.fast: boolean\n"
            "loop.length: string\n"
            "loop.sizes: list of integers, from 0 to 9\n"
            "loop.factors: list of numbers\n"
            "loop.names: list of strings\n"
            "sources: list of tables\n"
            "sources[].path: string\n"
            "sources[].weight: number, at least 0\n");
}

TEST(PrintTest, LimitsKeepAllTheirDigits) {
  EXPECT_EQ(shortest(0.9999999), "0.9999999");
  EXPECT_EQ(shortest(1e-8), "1e-08");
}

}  // namespace
}  // namespace hecate::config::test
