#include "launcher/schedule/curves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

using ::testing::HasSubstr;

Chart two_curves() {
  return {.title = "a & b",
          .x_label = "tokens",
          .y_label = "rate",
          .curves = {{.name = "up", .points = {{0, 0}, {50, 1}, {100, 2}}},
                     {.name = "<down>", .points = {{0, 2}, {2000, 1}}}}};
}

TEST(CurvesTest, AsciiHasAMarkWhereEveryPointIs) {
  const std::string text = to_ascii(two_curves(), 21, 3);
  EXPECT_EQ(text,
            "a & b\n"
            "2 |o*                   \n"
            "  | *                  o\n"
            "0 |*                    \n"
            "  +---------------------\n"
            "   0           2k tokens\n"
            "  * up\n"
            "  o <down>\n");
}

TEST(CurvesTest, SvgHasOnePolylinePerCurveAndEscapedNames) {
  const std::string svg = to_svg(two_curves());
  EXPECT_THAT(svg, HasSubstr("points=\"80,340 96,190 112,40 \""));
  EXPECT_THAT(svg, HasSubstr("points=\"80,40 720,190 \""));
  EXPECT_THAT(svg, HasSubstr("a &amp; b"));
  EXPECT_THAT(svg, HasSubstr("&lt;down>"));
}

TEST(CurvesTest, LogarithmsLeaveOutWhatHasNone) {
  Chart chart = two_curves();
  chart.curves = {{.name = "falls", .points = {{0, 1}, {1, 0.1}, {2, 0}, {3, 0.001}}}};
  chart.log_y = true;
  EXPECT_THAT(to_svg(chart), HasSubstr("points=\"80,40 293.333,140 720,340 \""));
}

TEST(CurvesTest, NothingToDrawIsAnError) {
  EXPECT_THROW(to_svg(Chart{}), InvalidArgument);
  EXPECT_THROW(to_ascii(Chart{}), InvalidArgument);
}

}  // namespace
}  // namespace hecate::launcher
