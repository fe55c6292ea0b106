#include "launcher/plan/cases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

json planned(const json& cases) {
  return json::parse(plan_cases(cases.dump(), "cases.json"));
}

std::string refusal(const std::string& text) {
  return message_of<InvalidArgument>([&] { plan_cases(text, "cases.json"); });
}

// Worked out by hand; every result is given with its inputs.
json small_cases() {
  return json::parse(io::read_file(HECATE_SOURCE_DIR "/tests/launcher/plan/small_cases.json"));
}

TEST(PlanCasesTest, SmallCasesOfEveryKind) {
  EXPECT_EQ(planned(small_cases()), small_cases());
}

TEST(PlanCasesTest, ResultsThatAreThereDoNotMatter) {
  json bare = small_cases(), wrong = small_cases();
  for (json& test : bare["algorithm1"]) test.erase("holders");
  for (json& test : wrong["algorithm1"]) test["holders"] = "nonsense";
  for (json& test : bare["algorithm2"]) test.erase("owner_of_remaining");
  EXPECT_EQ(planned(bare), small_cases());
  EXPECT_EQ(planned(wrong), small_cases());
}

TEST(PlanCasesTest, OtherKeysAndNotesStay) {
  json cases = small_cases();
  cases["note"] = "by hand";
  cases["algorithm1"][0]["name"] = "skewed";
  EXPECT_EQ(planned(cases), cases);
}

TEST(PlanCasesTest, NothingToDoIsFine) {
  EXPECT_EQ(planned(json::object()), json::object());
  EXPECT_EQ(planned({{"algorithm1", json::array()}}), json({{"algorithm1", json::array()}}));
}

TEST(PlanCasesTest, RefusesWhatIsNoFileOfCases) {
  EXPECT_THAT(refusal("{"), HasSubstr("cases.json: no JSON"));
  EXPECT_THAT(refusal("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(refusal(R"({"algorithm1": 3})"), HasSubstr("'algorithm1' is no array"));
  EXPECT_THAT(refusal(R"({"algoritm2": []})"),
              AllOf(HasSubstr("'algoritm2' are unknown"),
                    HasSubstr("algorithm1, algorithm2, smartmoe, fastermoe, eplb, flexmoe, laer"),
                    HasSubstr("nearest: algorithm2")));
}

TEST(PlanCasesTest, NamesTheCaseAndTheInputThatIsWrong) {
  json cases = small_cases();
  cases["algorithm1"].push_back(cases["algorithm1"][0]);
  const size_t last = cases["algorithm1"].size() - 1;
  const std::string name = "cases.json: algorithm1[" + std::to_string(last) + "]: ";
  cases["algorithm1"][last].erase("owner");
  EXPECT_THAT(refusal(cases.dump()), HasSubstr(name + "'owner' is missing"));
  cases["algorithm1"][last]["owner"] = "all";
  EXPECT_THAT(refusal(cases.dump()), HasSubstr(name + "'owner': "));
  cases["algorithm1"][last]["owner"] = {0, 1, 2, 7};
  EXPECT_THAT(refusal(cases.dump()), HasSubstr(name + "placement: device 7 of 4"));
  cases["algorithm1"][last] = 5;
  EXPECT_THAT(refusal(cases.dump()), HasSubstr("is missing"));
}

}  // namespace
}  // namespace hecate::launcher
