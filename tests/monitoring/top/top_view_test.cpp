#include "monitoring/top/top_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace hecate::monitoring {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// Characters, escape sequences left out.
int width_of(const std::string& line) {
  int width = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\x1b')
      i = line.find('m', i);
    else if ((static_cast<unsigned char>(line[i]) & 0xc0) != 0x80)
      ++width;
  }
  return width;
}

TopState busy_state() {
  TopState state;
  state.total_steps = 200;
  for (int step = 1; step <= 50; ++step) {
    std::map<std::string, double> line = {{"step", step},
                                          {"loss", 5.0 - 0.05 * step},
                                          {"tokens_per_s", 1234},
                                          {"step_seconds", 0.5},
                                          {"lr", 1e-3},
                                          {"memory_budget_bytes", 1 << 20},
                                          {"peak_bytes.buffers", 1 << 19}};
    for (int i = 0; i < 6; ++i) {
      line["load." + std::to_string(i) + ".max_over_mean"] = 1 + i;
      line["ranks.compute_seconds." + std::to_string(i)] = 0.1 * (i + 1);
      line["ranks.waited_seconds." + std::to_string(i)] = 0.2;
    }
    take_columns(line, 0, state);
  }
  return state;
}

TEST(SparklineTest, RisesFromLeastToGreatest) {
  EXPECT_EQ(sparkline({0, 1, 2, 3, 4, 5, 6, 7}, 8), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(sparkline({0, 0, 7, 7}, 2), "▁█") << "the mean of what shares a place";
  EXPECT_EQ(sparkline({3, 3}, 5), "▅▅");
  EXPECT_EQ(sparkline({1, TopState::kNone, 2}, 3), "▁ █");
  EXPECT_EQ(sparkline({}, 5), "");
  EXPECT_EQ(sparkline({1, 2}, 0), "");
}

TEST(TopFrameTest, ShowsWhatIsKnown) {
  const auto lines = top_frame(busy_state(), "runs/x", "", {.width = 100, .height = 40});
  EXPECT_THAT(lines, Contains(HasSubstr("runs/x")));
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("step 50 of 200"), HasSubstr("25 %"),
                                    HasSubstr("ETA 75 s"))));
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("loss"), HasSubstr("2.5000"), HasSubstr("█"))));
  EXPECT_THAT(lines, Contains(HasSubstr("memory 512.0 KiB of 1.0 MiB")));
  EXPECT_THAT(lines, Contains(HasSubstr("slowest: rank 5")));
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("600 ms"), HasSubstr("waits 200 ms"))));
  EXPECT_THAT(lines, Contains(HasSubstr("6.00")));
}

TEST(TopFrameTest, FitsEveryTerminal) {
  const TopState state = busy_state();
  for (const bool colour : {false, true})
    for (const int width : {20, 37, 80, 300})
      for (const int height : {1, 3, 7, 12, 24, 60}) {
        const auto lines = top_frame(state, std::string(400, 'x'), "a note",
                                     {.width = width, .height = height, .colour = colour});
        EXPECT_LE(lines.size(), static_cast<size_t>(height));
        for (const std::string& line : lines) {
          EXPECT_LE(width_of(line), width) << line;
          EXPECT_EQ(line.find('\n'), std::string::npos);
        }
      }
}

TEST(TopFrameTest, SaysWhatFoundNoRoom) {
  const auto lines = top_frame(busy_state(), "x", "", {.width = 80, .height = 12});
  EXPECT_THAT(lines, Contains(HasSubstr("more ranks")));
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("    5 "), HasSubstr("600 ms"))))
      << "the slowest is among those shown";
}

TEST(TopFrameTest, ColoursOnlyWhereAsked) {
  const TopLayout plain{.width = 80, .height = 40},
      painted{.width = 80, .height = 40, .colour = true};
  const TopState state = busy_state();
  EXPECT_THAT(top_frame(state, "x", "", plain), Not(Contains(HasSubstr("\x1b"))));
  const auto lines = top_frame(state, "x", "", painted);
  EXPECT_THAT(lines, Contains(HasSubstr("\x1b[31m")));
  for (const std::string& line : lines)
    EXPECT_EQ(std::ranges::count(line, '\x1b') % 2, 0) << "what is switched on is switched off";
}

TEST(TopFrameTest, NothingKnownYetIsAFrameToo) {
  const auto lines = top_frame(TopState{}, "x\x1b[2Jy", "waiting", {});
  EXPECT_THAT(lines, Contains(HasSubstr("waiting")));
  EXPECT_THAT(lines, Contains(HasSubstr("step -")));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("nan"))));
  EXPECT_THAT(lines[0], HasSubstr("x?[2Jy")) << "a name does not steer the terminal";
}

}  // namespace
}  // namespace hecate::monitoring
