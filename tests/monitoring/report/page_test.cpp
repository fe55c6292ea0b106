#include "monitoring/report/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <regex>

namespace hecate::monitoring {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

RunData small_run() {
  RunData run;
  run.name = "small";
  run.steps.add_row();
  run.steps.set("step", 1);
  run.steps.set("loss", 2.34567891234);
  run.steps.set("grad_norm", std::nan(""));
  return run;
}

nlohmann::json json_of(const RunData& run, int64_t most_rows = 1500) {
  PageOptions options;
  options.most_rows = most_rows;
  return nlohmann::json::parse(page_json({.runs = {run}, .exploits = {}}, options));
}

TEST(PageTest, FetchesNothing) {
  const std::string page = report_page({.runs = {small_run()}, .exploits = {}}, {});
  EXPECT_THAT(page, Not(HasSubstr("{{")));
  // Besides the namespace of SVG and the icon that is none.
  const std::regex fetch("(src|href)=\"(?!data:)|url\\(|@import|<link[^>]+stylesheet");
  EXPECT_FALSE(std::regex_search(page, fetch));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
}

TEST(PageTest, TextOfARunStaysText) {
  RunData run = small_run();
  run.name = "</title><script>alert(1)</script>";
  run.settings = {{"data.path", "</script><img src=x onerror=alert(2)><!--"}};
  const std::string page = report_page({.runs = {run}, .exploits = {}}, {});
  EXPECT_THAT(page, Not(HasSubstr("<script>alert(1)")));
  EXPECT_THAT(page, Not(HasSubstr("<img src=x")));
  EXPECT_THAT(page, HasSubstr("<title>&lt;/title&gt;&lt;script&gt;alert(1)"));
  EXPECT_EQ(json_of(run)["runs"][0]["settings"][0][1], run.settings[0].second)
      << "and the page's scripts get it unchanged";
}

TEST(PageTest, BytesThatAreNoTextDoNotBreakThePage) {
  RunData run = small_run();
  run.path = "runs/\xff\xfe";
  EXPECT_TRUE(json_of(run)["runs"][0]["path"].is_string());
}

TEST(PageTest, NumbersHaveSixDigitsAndNanIsNull) {
  const nlohmann::json columns = json_of(small_run())["runs"][0]["steps"]["columns"];
  EXPECT_EQ(columns["loss"][0], 2.34568);
  EXPECT_TRUE(columns["grad_norm"][0].is_null());
  EXPECT_EQ(columns["step"].dump(), "[1]");
}

TEST(PageTest, LongLogsAreThinned) {
  RunData run;
  for (int i = 1; i <= 1000; ++i) {
    run.steps.add_row();
    run.steps.set("step", i);
    run.steps.set("loss", 1.0 / i);
  }
  const nlohmann::json steps = json_of(run, 100)["runs"][0]["steps"];
  EXPECT_EQ(steps["rows"], 100);
  EXPECT_EQ(steps["of"], 1000);
  EXPECT_EQ(steps["columns"]["step"][99], 1000);
  EXPECT_EQ(steps["columns"]["loss.high"][0], 1);
}

TEST(PageTest, LoadsAreRelativeToTheLayersMean) {
  RunData run = small_run();
  run.loads =
      ExpertLoads{.experts = 4, .layers = {2, 5}, .steps = {9}, .counts = {1, 1, 1, 5, 0, 0, 0, 0}};
  const nlohmann::json loads = json_of(run)["runs"][0]["loads"];
  EXPECT_EQ(loads["percent_of_mean"].dump(), "[50,50,50,250,0,0,0,0]");
  EXPECT_EQ(loads["layers"].dump(), "[2,5]");
}

TEST(PageTest, TimelineNamesAreWrittenOnce) {
  RunData run = small_run();
  run.timeline.emplace();
  run.timeline->lanes = {"compute"};
  for (const double begin : {0.0, 1.0, 2.0})
    run.timeline->slices.push_back(
        {.rank = 0, .lane = 0, .begin = begin, .end = begin + 1, .name = "ffn", .kind = "gemm"});
  const nlohmann::json timeline = json_of(run)["runs"][0]["timeline"];
  EXPECT_EQ(timeline["names"].dump(), R"(["ffn","gemm"])");
  EXPECT_EQ(timeline["slices"][2].dump(), "[0,0,2,3,0,1]");
}

}  // namespace
}  // namespace hecate::monitoring
