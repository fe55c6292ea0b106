#include "launcher/schedule/cases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launcher {
namespace {

using hecate::testing::message_of;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Expected rates to 10 digits, worked out elsewhere with 40-digit arithmetic.
json vectors() {
  return json::parse(io::read_file(HECATE_SOURCE_DIR "/tests/scheduler/lr_schedules.json"));
}

json answered(const json& cases) {
  return json::parse(schedule_cases(cases.dump(), "cases.json"));
}

TEST(ScheduleCasesTest, EveryVectorIsMet) {
  const json expected = vectors(), found = answered(expected);
  size_t points = 0;
  for (size_t i = 0; i < expected["cases"].size(); ++i) {
    const json &wanted = expected["cases"][i], &got = found["cases"][i];
    ASSERT_EQ(got["points"].size(), wanted["points"].size());
    for (size_t p = 0; p < wanted["points"].size(); ++p, ++points) {
      const double rate = wanted["points"][p][1];
      EXPECT_EQ(got["points"][p][0], wanted["points"][p][0]);
      EXPECT_NEAR(got["points"][p][1].get<double>(), rate, 1e-9 * rate)
          << wanted["name"] << " at " << wanted["points"][p][0];
    }
  }
  EXPECT_EQ(expected["cases"].size(), 15u);
  EXPECT_GT(points, 190u);
}

TEST(ScheduleCasesTest, RatesThatAreThereDoNotMatterAndTheRestStays) {
  json bare = vectors(), wrong = vectors();
  for (json& test : bare["cases"])
    for (json& point : test["points"]) point = point[0];
  for (json& test : wrong["cases"])
    for (json& point : test["points"]) point[1] = "nonsense";
  EXPECT_EQ(answered(bare), answered(vectors()));
  EXPECT_EQ(answered(wrong), answered(vectors()));
  json found = answered(vectors()), expected = vectors();
  for (json* each : {&found, &expected})
    for (json& test : (*each)["cases"]) test.erase("points");
  EXPECT_EQ(found, expected);
}

double rate(const std::string& kind, const json& params, double x) {
  const json test = {{"schedule", kind}, {"params", params}, {"points", {x}}};
  return answered({{"cases", {test}}})["cases"][0]["points"][0][1];
}

TEST(ScheduleCasesTest, TheSchedulesOfEveryoneAreThere) {
  const json all = {{"lr_max", 2.0}, {"lr_min", 0.5}, {"warmup", 10}, {"total", 110}};
  EXPECT_DOUBLE_EQ(rate("cosine", all, 60), 1.25);
  EXPECT_DOUBLE_EQ(rate("cosine", all, 35), 0.5 + 0.75 * (1 + std::sqrt(0.5)));
  EXPECT_DOUBLE_EQ(rate("linear", all, 35), 1.625);
  EXPECT_DOUBLE_EQ(rate("constant", all, 35), 2);
  EXPECT_DOUBLE_EQ(rate("constant", {{"lr_max", 2.0}}, 1), 2);
  EXPECT_DOUBLE_EQ(rate("inverse_sqrt", {{"lr_max", 2.0}, {"warmup", 10}}, 40), 1);
  const json cycles = {{"lr_max", 1.0}, {"lr_min", 0.2}, {"end_points", {100, 300}}};
  EXPECT_DOUBLE_EQ(rate("cyclic_cosine", cycles, 50), 0.6);
  EXPECT_DOUBLE_EQ(rate("cyclic_cosine", cycles, 100), 1);
  EXPECT_DOUBLE_EQ(rate("cyclic_cosine", cycles, 200), 0.6);
  EXPECT_DOUBLE_EQ(rate("cyclic_cosine", cycles, 999), 0.2);
}

std::string refusal(const std::string& text) {
  return message_of<InvalidArgument>([&] { schedule_cases(text, "cases.json"); });
}

TEST(ScheduleCasesTest, RefusesWhatIsNoFileOfCases) {
  EXPECT_THAT(refusal("{"), HasSubstr("cases.json: no JSON"));
  EXPECT_THAT(refusal("[]"), HasSubstr("an array 'cases'"));
  EXPECT_THAT(refusal(R"({"cases": [{}]})"), HasSubstr("cases[0]: 'schedule' is missing"));
}

TEST(ScheduleCasesTest, NamesTheCaseAndTheInputThatIsWrong) {
  const auto broken = [](size_t index, const std::function<void(json&)>& change) {
    json cases = vectors();
    change(cases["cases"][index]);
    return refusal(cases.dump());
  };
  EXPECT_THAT(broken(4, [](json& test) { test["schedule"] = "wds"; }),
              AllOf(HasSubstr("cases.json: cases[4] (wsd-linear): schedule = 'wds' is unknown"),
                    HasSubstr("nearest: wsd")));
  EXPECT_THAT(broken(4, [](json& test) { test["params"].erase("decay_start"); }),
              HasSubstr("(wsd-linear): 'decay_start' is missing"));
  EXPECT_THAT(broken(4, [](json& test) { test["params"]["decay_start"] = 500; }),
              HasSubstr("schedule.warmup of 1000 steps goes beyond the start of schedule.decay"));
  EXPECT_THAT(broken(4, [](json& test) { test["params"]["decay_begin"] = 500; }),
              HasSubstr("params = 'decay_begin' is unknown"));
  EXPECT_THAT(broken(4, [](json& test) { test["unit"] = "token"; }), HasSubstr("nearest: tokens"));
  EXPECT_THAT(broken(4, [](json& test) { test["points"] = {-1}; }), HasSubstr("at least 0"));
  EXPECT_THAT(broken(0, [](json& test) { test["params"].erase("batch_sequences"); }),
              HasSubstr("(power-linear): power needs the tokens per batch"));
  EXPECT_THAT(broken(10,
                     [](json& test) {
                       test["params"]["end_points"] = {2500, 1000};
                     }),
              HasSubstr("expected rising points"));
  EXPECT_THAT(broken(10, [](json& test) { test["params"]["lr_max"] = -1; }), HasSubstr("lr_m"));
}

}  // namespace
}  // namespace hecate::launcher
