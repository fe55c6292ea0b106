#include "runtime/trace/trace_writer.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

namespace hecate::trace {
namespace {

nlohmann::json events_of(const std::function<void(TraceWriter&)>& write) {
  std::ostringstream out;
  TraceWriter writer(out);
  write(writer);
  writer.finish();
  return nlohmann::json::parse(out.str()).at("traceEvents");
}

TEST(TraceWriterTest, AnEmptyTimelineIsValid) {
  EXPECT_TRUE(events_of([](TraceWriter&) {}).empty());
}

TEST(TraceWriterTest, NamesProcessesAndRows) {
  const auto events = events_of([](TraceWriter& writer) {
    writer.name_process(3, "rank 3", 7);
    writer.name_row({.process = 3, .thread = 2}, "sparse", 9);
  });
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0]["ph"], "M");
  EXPECT_EQ(events[0]["name"], "process_name");
  EXPECT_EQ(events[0]["args"]["name"], "rank 3");
  EXPECT_EQ(events[1]["args"]["sort_index"], 7);
  EXPECT_EQ(events[2]["name"], "thread_name");
  EXPECT_EQ(events[2]["pid"], 3);
  EXPECT_EQ(events[2]["tid"], 2);
  EXPECT_EQ(events[2]["args"]["name"], "sparse");
  EXPECT_EQ(events[3]["name"], "thread_sort_index");
}

TEST(TraceWriterTest, SlicesKeepNanosecondsAndDetails) {
  const auto events = events_of([](TraceWriter& writer) {
    writer.slice({.row = {.process = 0, .thread = 1},
                  .name = "quote \" slash \\ break \n",
                  .category = "gemm",
                  .begin = 1234567,
                  .end = 1234600,
                  .details = {{"layer", int64_t{4}},
                              {"flops", 0.5},
                              {"rate", std::numeric_limits<double>::infinity()},
                              {"direction", "forward"}}});
    writer.slice(
        {.row = {}, .name = "early", .category = "x", .begin = -5, .end = 0, .details = {}});
  });
  EXPECT_EQ(events[0]["name"], "quote \" slash \\ break \n");
  EXPECT_EQ(events[0]["ph"], "X");
  EXPECT_DOUBLE_EQ(events[0]["ts"], 1234.567);
  EXPECT_DOUBLE_EQ(events[0]["dur"], 0.033);
  EXPECT_EQ(events[0]["args"]["layer"], 4);
  EXPECT_EQ(events[0]["args"]["flops"], 0.5);
  EXPECT_TRUE(events[0]["args"]["rate"].is_null());
  EXPECT_EQ(events[0]["args"]["direction"], "forward");
  EXPECT_DOUBLE_EQ(events[1]["ts"], -0.005);
  EXPECT_FALSE(events[1].contains("args"));
}

TEST(TraceWriterTest, AnArrowHasTwoEndsOfOneId) {
  const auto events = events_of([](TraceWriter& writer) {
    writer.arrow(11, {.process = 0, .thread = 1}, 5000, {.process = 0, .thread = 3}, 7000);
  });
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]["ph"], "s");
  EXPECT_EQ(events[1]["ph"], "f");
  EXPECT_EQ(events[1]["bp"], "e");
  EXPECT_EQ(events[0]["id"], events[1]["id"]);
  EXPECT_EQ(events[0]["tid"], 1);
  EXPECT_EQ(events[1]["tid"], 3);
  EXPECT_EQ(events[1]["ts"], 7.0);
}

TEST(TraceWriterTest, CountersHoldFromATimeOn) {
  const auto events =
      events_of([](TraceWriter& writer) { writer.counter(2, "memory: buffers", 1500, 1LL << 40); });
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["ph"], "C");
  EXPECT_EQ(events[0]["pid"], 2);
  EXPECT_EQ(events[0]["name"], "memory: buffers");
  EXPECT_EQ(events[0]["ts"], 1.5);
  EXPECT_EQ(events[0]["args"]["bytes"], 1LL << 40);
}

}  // namespace
}  // namespace hecate::trace
