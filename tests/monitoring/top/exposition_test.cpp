#include "monitoring/top/exposition.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hecate::monitoring {
namespace {

TEST(ExpositionTest, ReadsNamesLabelsAndValues) {
  const auto samples = parse_exposition(
      "# HELP hecate_loss Training loss.\n# TYPE hecate_loss gauge\nhecate_loss 2.5\n"
      "a:b_total{layer=\"3\",name=\"x\"} 7 1395066363000\r\n"
      "empty{} -1e3\nspaced { a = \"b\" , } 4\n");
  ASSERT_EQ(samples.size(), 4u);
  EXPECT_EQ(samples[0].name, "hecate_loss");
  EXPECT_EQ(samples[0].value, 2.5);
  EXPECT_EQ(samples[1].name, "a:b_total");
  EXPECT_EQ(samples[1].label("layer"), "3");
  EXPECT_EQ(samples[1].label("name"), "x");
  EXPECT_EQ(samples[1].label("none"), "");
  EXPECT_EQ(samples[1].value, 7);
  EXPECT_EQ(samples[2].value, -1000);
  EXPECT_EQ(samples[3].label("a"), "b");
}

TEST(ExpositionTest, LabelsMayHoldAnything) {
  const auto samples = parse_exposition(R"(m{path="C:\\x\"y\nz}, {"} 1)");
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].label("path"), "C:\\x\"y\nz}, {");
}

TEST(ExpositionTest, NumbersThatAreNone) {
  const auto samples = parse_exposition("a NaN\nb +Inf\nc -Inf\n");
  ASSERT_EQ(samples.size(), 3u);
  EXPECT_TRUE(std::isnan(samples[0].value));
  EXPECT_GT(samples[1].value, 1e308);
  EXPECT_LT(samples[2].value, -1e308);
}

TEST(ExpositionTest, WhatIsNoSampleIsPassedOver) {
  const auto samples = parse_exposition(
      "\n<html>\nm{a=\"b\" 1\nm{a=b} 1\nm\nm one\nm{a=\"open\n{a=\"b\"} 1\ngood 1");
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].name, "good");
}

}  // namespace
}  // namespace hecate::monitoring
