#include "launcher/report/step_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace hecate::launcher {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(StepLineTest, ObjectsAndListsBecomeDottedNames) {
  const auto line = parse_step_line(
      R"({"step":3,"loss":null,"breakdown":{"gemm":0.5},"name":"x",)"
      R"("ranks":{"compute_seconds":[1,2.5],"slowest":1},"deep":{"a":{"b":[[1]]}}})");
  ASSERT_TRUE(line);
  EXPECT_FALSE(line->evaluation);
  EXPECT_EQ(line->value("step"), 3);
  EXPECT_TRUE(std::isnan(line->values.at("loss")));
  EXPECT_EQ(line->value("breakdown.gemm"), 0.5);
  EXPECT_EQ(line->value("ranks.compute_seconds.1"), 2.5);
  EXPECT_TRUE(std::isnan(line->value("name")));
  EXPECT_EQ(line->values.size(), 6u);
}

TEST(StepLineTest, CountsAndPlacementAreNoColumns) {
  const auto line = parse_step_line(
      R"({"step":1,"load":{"4":{"counts":[3,1],"entropy":0.8},"oops":{"counts":[1]}},)"
      R"("placement":{"4":{"owners":[1,0],"holders":[[0,1],[0]]},"5":{"owners":[1]}}})");
  ASSERT_TRUE(line);
  EXPECT_THAT(line->counts.at(4), ElementsAre(3, 1));
  EXPECT_EQ(line->counts.size(), 1u);
  EXPECT_EQ(line->value("load.4.entropy"), 0.8);
  ASSERT_TRUE(line->placement);
  ASSERT_EQ(line->placement->layers.size(), 1u) << "the damaged layer is passed over";
  const auto& layer = line->placement->layers[0];
  EXPECT_EQ(layer.layer, 4);
  EXPECT_THAT(layer.owners, ElementsAre(1, 0));
  EXPECT_THAT(layer.copies, ElementsAre(ElementsAre(0), IsEmpty()));
  EXPECT_THAT(layer.loads, ElementsAre(3, 1));
  EXPECT_EQ(line->values.size(), 2u);
}

TEST(StepLineTest, WhatIsNoStepIsNothing) {
  for (const char* text : {"", "{", "[1]", "7", R"({"loss":1})", R"({"step":"1"})",
                           R"({"step":1.5})", "{\"step\":1}garbage", "\xff\xfe"})
    EXPECT_FALSE(parse_step_line(text)) << text;
}

TEST(StepLinesTest, TheLineThatIsBeingWrittenIsPassedOver) {
  const StepLines lines = read_step_lines(
      "{\"step\":1,\"step_seconds\":2}\n{\"step\":1,\"eval_loss\":5}\n"
      "{\"step\":4,\"step_seconds\":1}\n{\"step\":5,\"step_se");
  EXPECT_THAT(lines.steps.values("step"), ElementsAre(1, 4));
  EXPECT_THAT(lines.evaluations.values("eval_loss"), ElementsAre(5));
  EXPECT_THAT(lines.steps.values("elapsed_seconds"), ElementsAre(2, 5))
      << "steps 2 and 3 were not logged";
  EXPECT_THAT(lines.notes, IsEmpty());
}

TEST(StepLinesTest, DamagedLinesAreNamed) {
  std::string text = "{\"step\":1}\nnoise\n";
  for (int i = 0; i < 8; ++i) text += "more\n";
  const StepLines lines = read_step_lines(text + "{\"step\":2}\n");
  EXPECT_THAT(lines.steps.values("step"), ElementsAre(1, 2));
  ASSERT_EQ(lines.notes.size(), 6u);
  EXPECT_THAT(lines.notes[0], HasSubstr("steps.jsonl:2: passed over"));
  EXPECT_EQ(lines.notes[5], "steps.jsonl: 4 more lines are no steps");
}

TEST(StepLinesTest, LoadsOfAnotherModelAreLeftOut) {
  const StepLines lines = read_step_lines(
      "{\"step\":1,\"load\":{\"0\":{\"counts\":[1,2,3]}}}\n"
      "{\"step\":2,\"load\":{\"0\":{\"counts\":[1,2]},\"2\":{\"counts\":[4,5]}}}\n"
      "{\"step\":3,\"load\":{\"0\":{\"counts\":[6,7]},\"2\":{\"counts\":[8,9]}}}\n");
  ASSERT_TRUE(lines.loads);
  EXPECT_THAT(lines.loads->layers, ElementsAre(0, 2));
  EXPECT_THAT(lines.loads->steps, ElementsAre(2, 3));
  EXPECT_THAT(lines.loads->counts, ElementsAre(1, 2, 4, 5, 6, 7, 8, 9));
}

TEST(ChosenEvenlyTest, KeepsBothEnds) {
  EXPECT_THAT(chosen_evenly(3, 5), ElementsAre(0, 1, 2));
  EXPECT_THAT(chosen_evenly(11, 3), ElementsAre(0, 5, 10));
  EXPECT_THAT(chosen_evenly(0, 3), IsEmpty());
}

}  // namespace
}  // namespace hecate::launcher
