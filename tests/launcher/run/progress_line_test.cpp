#include "launcher/run/progress_line.h"

#include <gtest/gtest.h>

#include <sstream>

namespace hecate::launcher {
namespace {

StatusLine::Time at(double seconds) {
  return StatusLine::Time(std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(1000 + seconds)));
}

TEST(DurationTextTest, UsesTwoUnitsAtMost) {
  EXPECT_EQ(duration_text(-1), "0s");
  EXPECT_EQ(duration_text(59.4), "59s");
  EXPECT_EQ(duration_text(59.6), "1m00s");
  EXPECT_EQ(duration_text(3599), "59m59s");
  EXPECT_EQ(duration_text(3700), "1h01m");
  EXPECT_EQ(duration_text(100000), "27h46m");
}

TEST(ProgressLineTest, PlainOutputGivesALineNowAndThenAndAtTheEnd) {
  std::ostringstream out;
  {
    ProgressLine line(out, false, 10, 0, 100, at(0));
    for (int step = 1; step <= 100; ++step) line.update(step, 3.25, 8123.4, at(0.25 * step));
  }
  EXPECT_EQ(out.str(),
            "step 1/100  loss 3.2500  8123 tok/s  ETA 25s\n"
            "step 41/100  loss 3.2500  8123 tok/s  ETA 15s\n"
            "step 81/100  loss 3.2500  8123 tok/s  ETA 5s\n"
            "step 100/100  loss 3.2500  8123 tok/s\n");
}

TEST(ProgressLineTest, TerminalRewritesOneLineAndEndsIt) {
  std::ostringstream out;
  {
    ProgressLine line(out, true, 10, 0, 3, at(0));
    line.update(1, 1, 10, at(1));
    line.update(2, 2, 20, at(1.01));
    line.update(3, 3, 30, at(3));
  }
  EXPECT_EQ(out.str(),
            "\r\x1b[Kstep 1/3  loss 1.0000  10 tok/s  ETA 2s"
            "\r\x1b[Kstep 3/3  loss 3.0000  30 tok/s\n");
}

TEST(ProgressLineTest, ResumedRunEstimatesFromItsOwnSteps) {
  std::ostringstream out;
  ProgressLine line(out, false, 10, 900, 1000, at(0));
  line.update(901, 1, 1, at(2));
  EXPECT_EQ(out.str(), "step 901/1000  loss 1.0000  1 tok/s  ETA 3m18s\n");
}

TEST(StatusLineTest, ImportantTextIsNeverHeldBack) {
  std::ostringstream out;
  StatusLine line(out, false, 10);
  line.show("a", at(0));
  line.show("b", at(1));
  line.show("c", at(2), true);
  EXPECT_EQ(out.str(), "a\nc\n");
}

TEST(StatusLineTest, NothingShownLeavesNoEmptyLine) {
  std::ostringstream out;
  { StatusLine line(out, true, 10); }
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace hecate::launcher
