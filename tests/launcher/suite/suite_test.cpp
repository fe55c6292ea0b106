#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "launcher/suite/page.h"
#include "launcher/suite/paper.h"
#include "launcher/suite/scaling.h"
#include "runtime/base/error.h"
#include "sharding/strategy.h"

namespace hecate::launcher::suite {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::filesystem::path kClusters =
    std::filesystem::path(HECATE_SOURCE_DIR) / "configs" / "clusters";

Cell tiny(const std::string& strategy) {
  Cell cell;
  cell.group = "weak";
  cell.strategy = strategy;
  cell.cluster = "dgx-h100";
  cell.model = "gpt";
  cell.loads = "recorded";
  cell.devices = 4;
  cell.load_text = "zipf:1.2";
  cell.settings = {"model.preset=tiny", "train.global_batch=4", "fssdp.overlap_degree=2",
                   "fssdp.memory_capacity=1"};
  cell.warmup = 2;
  cell.steps = 1;
  return cell;
}

CellResult result_of(const std::string& strategy, const std::string& loads, double seconds) {
  CellResult result;
  result.cell = tiny(strategy);
  result.cell.loads = loads;
  result.step_seconds = seconds;
  result.layer_seconds = 1;
  result.bound_seconds = 0.95;
  return result;
}

class SuiteTest : public testing::Test {
 protected:
  SuiteTest() {
    folder_ = std::filesystem::temp_directory_path() /
              ("hecate-suite-" + std::to_string(::getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
  }
  ~SuiteTest() override { std::filesystem::remove_all(folder_); }
  RunnerOptions runner() {
    return {.out = folder_, .clusters = kClusters, .progress = [this](const std::string& line) {
              progress_.push_back(line);
            }};
  }
  std::filesystem::path folder_;
  std::vector<std::string> progress_;
};

TEST(CellTest, IsNamedAlikeWhereverItsTraceLies) {
  Cell here = tiny("ep"), there = here;
  here.load_text = "trace:/data/one/loads.npy,from=40";
  there.load_text = "trace:two/loads.npy,from=40";
  EXPECT_EQ(here.load_name(), "trace:loads.npy,from=40");
  EXPECT_EQ(here.id(), there.id());
  CellResult result;
  result.cell = here;
  EXPECT_THAT(to_json(result), Not(HasSubstr("/data")));
  there.load_text = "trace:two/loads.npy,from=41";
  EXPECT_NE(here.id(), there.id());
}

TEST_F(SuiteTest, AnInterruptedSuiteGoesOn) {
  const std::vector<Cell> cells = {tiny("ep"), tiny("fssdp")};
  const auto first = run_cells({cells[0]}, runner(), "results.jsonl");
  ASSERT_EQ(first.size(), 1u);
  EXPECT_GT(first[0].step_seconds, 0) << first[0].error;
  std::ofstream(folder_ / "results.jsonl", std::ios::app) << "{\"group\": \"we";  // cut short
  progress_.clear();
  const auto both = run_cells(cells, runner(), "results.jsonl");
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].spent_seconds, first[0].spent_seconds) << "was not run again";
  EXPECT_GT(both[1].step_seconds, 0) << both[1].error;
  EXPECT_EQ(progress_.size(), 2u);
  const auto again = run_cells(cells, runner(), "results.jsonl");
  EXPECT_EQ(again[1].spent_seconds, both[1].spent_seconds);
}

TEST_F(SuiteTest, WhatCannotRunIsSaid) {
  Cell impossible = tiny("ep");
  impossible.settings.emplace_back("train.global_batch=5");
  const CellResult result = run_cell(impossible, kClusters);
  EXPECT_THAT(result.error, HasSubstr("train.global_batch"));
}

TEST_F(SuiteTest, ResultsAreReadBackAsTheyWere) {
  CellResult result = result_of("fssdp", "burst", 0.25);
  result.critical = {{"gemm", 0.1}};
  result.layers = {0.5, 1.5};
  result.fits = false;
  const CellResult back = result_from_json(to_json(result));
  EXPECT_EQ(back.cell.id(), result.cell.id());
  EXPECT_EQ(back.step_seconds, 0.25);
  EXPECT_EQ(back.critical, result.critical);
  EXPECT_EQ(back.layers, result.layers);
  EXPECT_FALSE(back.fits);
  EXPECT_THROW(result_from_json("{}"), InvalidArgument);
}

TEST_F(SuiteTest, TheGridIsSmallAndHasNoCellTwice) {
  const ScalingOptions options{.runner = runner(), .trace = {}, .strategies = {}};
  const std::vector<Contender> all = contenders(options);
  EXPECT_GE(all.size(), sharding::strategy_names().size());
  const std::vector<Cell> cells = scaling_cells(options, all);
  EXPECT_LE(cells.size(), 400u);
  std::set<std::string> ids;
  std::set<int> sizes;
  for (const Cell& cell : cells) {
    ids.insert(cell.id());
    sizes.insert(cell.devices);
  }
  EXPECT_EQ(ids.size(), cells.size());
  EXPECT_TRUE(sizes.contains(8) && sizes.contains(4096));
}

TEST_F(SuiteTest, TuningTakesTheFastestThatFits) {
  const ScalingOptions options{.runner = runner(), .trace = {}, .strategies = {"ep"}};
  std::vector<Contender> all = contenders(options);
  ASSERT_EQ(all.size(), 1u);
  std::vector<CellResult> results;
  for (const Cell& cell : tuning_cells(options, all)) {
    CellResult result;
    result.cell = cell;
    result.step_seconds = 3.0 - static_cast<double>(results.size());
    result.fits = results.size() < 2;
    results.push_back(result);
  }
  ASSERT_EQ(results.size(), 3u);
  take_tuning(results, all);
  EXPECT_EQ(all[0].chosen, results[1].cell.variant);
  EXPECT_EQ(all[0].settings, std::vector<std::string>{"fssdp.domain=32"});
}

TEST_F(SuiteTest, GoalsAreJudgedAgainstRivalsAndEvenLoads) {
  std::vector<CellResult> results = {result_of("ep", "even", 1.0), result_of("fssdp", "even", 1.03),
                                     result_of("ep", "recorded", 3.0),
                                     result_of("fssdp", "recorded", 1.05),
                                     result_of("fsdp", "recorded", 1.04)};
  std::map<std::string, Judgement> found;
  for (const Judgement& each : judge(results, "fssdp")) found[each.goal] = each;
  EXPECT_FALSE(found.at("ahead of every other strategy").met) << "fsdp is faster";
  EXPECT_THAT(found.at("ahead of every other strategy").reason, HasSubstr("fsdp"));
  EXPECT_FALSE(found.at("step over ep's on even loads").met);
  EXPECT_TRUE(found.at("T(even) / T").met);
  EXPECT_NEAR(found.at("T(even) / T").value, 1.03 / 1.05, 1e-12);
  results[4].fits = false;  // a rival that does not fit does not count
  for (const Judgement& each : judge(results, "fssdp")) found[each.goal] = each;
  EXPECT_TRUE(found.at("ahead of every other strategy").met);
}

TEST_F(SuiteTest, ClaimsSayWhetherTheyAgree) {
  const PaperOptions options{.runner = runner(), .trace = {}};
  std::vector<CellResult> results;
  for (const Cell& cell : paper_cells(options)) {
    CellResult result;
    result.cell = cell;
    result.step_seconds = cell.strategy == "fssdp" ? 1.0 : 1.5;
    results.push_back(result);
  }
  int known = 0;
  for (const Claim& claim : claims(results)) {
    known += claim.known ? 1 : 0;
    if (claim.name.starts_with("speed-up over EP")) {
      EXPECT_NEAR(claim.ours, 1.5, 1e-9);
      EXPECT_TRUE(claim.agrees());
    }
  }
  EXPECT_GE(known, 5);
}

TEST_F(SuiteTest, ChartsDrawEveryBarAndEscapeText) {
  const std::string svg = bar_chart(
      "a < b", "s",
      {{.title = "g", .bars = {{.label = "x", .parts = {1}}, {.label = "y", .parts = {2}}}}}, {});
  EXPECT_THAT(svg, HasSubstr("a &lt; b"));
  EXPECT_THAT(line_chart("t", "x", "y", {{.label = "c", .x = {1, 10}, .y = {1, 2}}}),
              HasSubstr("polyline"));
  Page page("title");
  page.table({{"a"}, {"!marked"}});
  EXPECT_THAT(page.text(), HasSubstr("class=\"m\">marked"));
}

}  // namespace
}  // namespace hecate::launcher::suite
