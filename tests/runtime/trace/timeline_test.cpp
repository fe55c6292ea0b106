#include "runtime/trace/timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::trace {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(StepRangeTest, ReadsRangesAndSingleSteps) {
  EXPECT_EQ(parse_step_range("steps=10..12").first, 10);
  EXPECT_EQ(parse_step_range("steps=10..12").last, 12);
  EXPECT_EQ(parse_step_range("steps=7").last, 7);
  const StepRange range = parse_step_range("steps=2..3");
  EXPECT_FALSE(range.contains(1));
  EXPECT_TRUE(range.contains(2));
  EXPECT_TRUE(range.contains(3));
  EXPECT_FALSE(range.contains(4));
  EXPECT_FALSE(StepRange{}.contains(1));
}

TEST(StepRangeTest, AnythingElseIsRefused) {
  for (const char* text : {"", "10..12", "steps=", "steps=0..2", "steps=3..2", "steps=1..",
                           "steps=1-2", "steps=1..2x", "step=1"})
    EXPECT_EQ(message_of<InvalidArgument>([&] { parse_step_range(text); }),
              std::string("'") + text + "': expected steps=FIRST..LAST or steps=N, counted from 1");
}

class TimelineTest : public ::testing::Test {
 protected:
  TimelineTest() {
    const graph::BufferId a = graph_.add_buffer("a", DType::i32, 1);
    const graph::BufferId b = graph_.add_buffer("b", DType::i32, 1);
    const graph::RowsId rows = graph_.add_rows("rows", 5);
    graph::Op make = op("make", graph::OpKind::gemm, LaneKind::compute, {}, {a});
    make.cost = {.flops = 100, .bytes = 8, .rows = rows, .flops_per_row = 10, .bytes_per_row = 1};
    graph_.add(make);
    graph_.add(op("send", graph::OpKind::dispatch, LaneKind::dispatch, {a}, {b}));
    graph::Op use = op("use", graph::OpKind::expert_gemm, LaneKind::compute, {b}, {});
    use.backward = true;
    graph_.add(use);
    graph::Op last = op("last", graph::OpKind::dense_reduce, LaneKind::dense, {}, {a});
    last.when = graph::When::last_micro_batch;
    graph_.add(last);
  }

  static graph::Op op(const char* name, graph::OpKind kind, LaneKind lane,
                      std::vector<graph::BufferId> reads, std::vector<graph::BufferId> writes) {
    graph::Op op;
    op.name = name;
    op.kind = kind;
    op.lane = lane;
    op.layer = 2;
    op.reads = std::move(reads);
    op.writes = std::move(writes);
    op.run = [](graph::OpContext&) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
    return op;
  }

  // Two micro-batches of step 5 as the given rank.
  std::filesystem::path record(int rank, bool align = false) const {
    MemoryLedger ledger;
    graph::LaneSet lanes(1);
    graph::Executor executor(graph_, lanes, ledger);
    TimelineRecorder recorder(parse_step_range("steps=5"), rank);
    if (align) recorder.align();
    for (int64_t micro = 0; micro < 2; ++micro) {
      executor.run(micro == 0, micro == 1);
      recorder.record(5, micro, executor);
    }
    std::filesystem::path path =
        scratch_.path() / "timeline" / ("rank-" + std::to_string(rank) + ".json");
    recorder.write(path);
    return path;
  }
  static nlohmann::json events(const std::filesystem::path& path) {
    return nlohmann::json::parse(io::read_file(path)).at("traceEvents");
  }
  // Those of one phase and row.
  static std::vector<nlohmann::json> slices(const nlohmann::json& all, int row) {
    std::vector<nlohmann::json> found;
    for (const auto& event : all)
      if (event["ph"] == "X" && event["tid"] == row) found.push_back(event);
    return found;
  }

  graph::StepGraph graph_;
  ScratchDirectory scratch_;
};

TEST_F(TimelineTest, EveryLaneIsANamedRow) {
  std::map<int, std::string> rows;
  std::string process;
  for (const auto& event : events(record(3))) {
    if (event["name"] == "thread_name") rows[event["tid"]] = event["args"]["name"];
    if (event["name"] == "process_name") process = event["args"]["name"];
    EXPECT_EQ(event["pid"], 3);
  }
  EXPECT_EQ(process, "rank 3");
  EXPECT_THAT(rows,
              ElementsAre(std::pair(0, "steps"), std::pair(1, "compute"), std::pair(2, "dispatch"),
                          std::pair(3, "sparse"), std::pair(4, "dense"), std::pair(5, "host")));
}

TEST_F(TimelineTest, OperationsCarryTheirWork) {
  const auto all = events(record(0));
  const auto compute = slices(all, 1);
  ASSERT_EQ(compute.size(), 4u);
  EXPECT_EQ(compute[0]["name"], "make");
  EXPECT_EQ(compute[0]["cat"], "gemm");
  EXPECT_EQ(compute[0]["args"]["flops"], 150.0);
  EXPECT_EQ(compute[0]["args"]["bytes"], 13.0);
  EXPECT_EQ(compute[0]["args"]["layer"], 2);
  EXPECT_EQ(compute[0]["args"]["step"], 5);
  EXPECT_EQ(compute[1]["args"]["direction"], "backward");
  EXPECT_EQ(compute[3]["args"]["part"], "micro-batch 1");
  EXPECT_EQ(slices(all, 4).size(), 1u);  // what one micro-batch alone runs
}

TEST_F(TimelineTest, SlicesOfARowFollowOneAnotherOrNest) {
  const auto all = events(record(0));
  for (int row = 1; row <= 5; ++row) {
    double end = 0;
    for (const auto& slice : slices(all, row)) {
      EXPECT_GE(slice["ts"], end);
      EXPECT_GE(slice["dur"], 1000.0);
      end = slice["ts"].get<double>() + slice["dur"].get<double>();
    }
  }
  const auto steps = slices(all, 0);
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[0]["name"], "step 5");
  const double begin = steps[0]["ts"], end = begin + steps[0]["dur"].get<double>() + 1e-6;
  for (size_t i = 1; i < 3; ++i) {
    EXPECT_EQ(steps[i]["name"], "micro-batch " + std::to_string(i - 1));
    EXPECT_GE(steps[i]["ts"], begin);
    EXPECT_LE(steps[i]["ts"].get<double>() + steps[i]["dur"].get<double>(), end);
  }
}

TEST_F(TimelineTest, ArrowsShowWaitsBetweenLanes) {
  const auto all = events(record(0));
  std::vector<std::pair<int, int>> arrows;
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    if (all[i]["ph"] != "s") continue;
    EXPECT_EQ(all[i + 1]["ph"], "f");
    EXPECT_EQ(all[i]["id"], all[i + 1]["id"]);
    EXPECT_LE(all[i]["ts"], all[i + 1]["ts"]);
    arrows.emplace_back(all[i]["tid"], all[i + 1]["tid"]);
  }
  // make -> send -> use in both micro-batches; `last` overwrites what send reads, in the second.
  EXPECT_THAT(arrows, ::testing::IsSupersetOf({std::pair(1, 2), std::pair(2, 1), std::pair(1, 2),
                                               std::pair(2, 1), std::pair(2, 4)}));
}

TEST_F(TimelineTest, TimeStartsAtTheFirstOperationOrWhereRanksAgreed) {
  EXPECT_EQ(slices(events(record(0)), 0)[0]["ts"], 0.0);
  EXPECT_GT(slices(events(record(1, true)), 0)[0]["ts"], 0.0);
}

TEST(LevelsTest, RisesAddUpAndMeetInOneChange) {
  const std::vector<Rise> rises = {{.begin = 10, .end = 30, .amount = 5},
                                   {.begin = 20, .end = 40, .amount = 7},
                                   {.begin = 40, .end = 50, .amount = 7}};
  EXPECT_THAT(levels(rises),
              ElementsAre(std::pair(10, 5), std::pair(20, 12), std::pair(30, 7), std::pair(50, 0)));
  EXPECT_TRUE(levels({}).empty());
}

TEST_F(TimelineTest, CountersShowBytesUnderWayAndMemoryInUse) {
  graph::StepGraph graph;
  const graph::RowsId rows = graph.add_rows("rows", 3);
  const graph::BufferId held = graph.add_buffer("held", DType::i32, 25);
  const graph::BufferId pooled =
      graph.add_pooled("pooled", DType::i32, rows, 10, MemoryCategory::buffers);
  graph.add(op("make", graph::OpKind::gemm, LaneKind::compute, {}, {held}));
  graph::Op send = op("send", graph::OpKind::dispatch, LaneKind::dispatch, {held}, {pooled});
  send.cost.bytes = 640;
  graph.add(send);
  graph.add(op("use", graph::OpKind::gemm, LaneKind::compute, {pooled}, {}));
  MemoryLedger ledger;
  graph::LaneSet lanes(1);
  graph::Executor executor(graph, lanes, ledger);
  TimelineRecorder recorder(parse_step_range("steps=1"));
  executor.run();
  MemoryBytes resident{};
  resident[static_cast<size_t>(MemoryCategory::parameters)] = 4096;
  recorder.record(1, 0, executor, resident);
  recorder.write(scratch_ / "counters.json");

  std::map<std::string, std::vector<int64_t>> values;
  std::map<std::string, std::vector<double>> times;
  const auto all = events(scratch_ / "counters.json");
  for (const auto& event : all)
    if (event["ph"] == "C") {
      values[event["name"]].push_back(event["args"]["bytes"]);
      times[event["name"]].push_back(event["ts"]);
    }
  EXPECT_THAT(values["bytes in flight: dispatch"], ElementsAre(640, 0));
  EXPECT_THAT(values["memory: activations"], ElementsAre(100, 0));
  EXPECT_THAT(values["memory: buffers"], ElementsAre(3 * 40, 0));
  EXPECT_THAT(values["memory: parameters"], ElementsAre(4096, 0));
  EXPECT_EQ(values.size(), 4u) << "what is always zero is not written";
  const auto compute = slices(all, 1);
  const auto sends = slices(all, 2);
  const auto end = [](const nlohmann::json& slice) {
    return slice["ts"].get<double>() + slice["dur"].get<double>();
  };
  EXPECT_DOUBLE_EQ(times["bytes in flight: dispatch"][0], sends[0]["ts"]);
  EXPECT_NEAR(times["bytes in flight: dispatch"][1], end(sends[0]), 2e-3);
  EXPECT_DOUBLE_EQ(times["memory: activations"][0], compute[0]["ts"]);
  EXPECT_NEAR(times["memory: activations"][1], end(sends[0]), 2e-3);
  EXPECT_NEAR(times["memory: buffers"][1], end(compute[1]), 2e-3);
}

TEST_F(TimelineTest, RanksMergeIntoOneFile) {
  const std::vector<std::filesystem::path> parts = {record(0), record(1)};
  const std::filesystem::path whole = scratch_ / "all.json";
  merge_timelines(parts, whole);
  const auto all = events(whole);
  EXPECT_EQ(all.size(), events(parts[0]).size() + events(parts[1]).size());
  EXPECT_EQ(all.front()["pid"], 0);
  EXPECT_EQ(all.back()["pid"], 1);
  io::write_file(scratch_ / "other.json", "{\"traceEvents\":[]}");
  const std::vector<std::filesystem::path> other = {parts[0], scratch_ / "other.json"};
  EXPECT_THAT(message_of<InvalidArgument>([&] { merge_timelines(other, whole); }),
              HasSubstr("other.json: not a whole timeline"));
}

TEST_F(TimelineTest, NothingRecordedIsStillATimeline) {
  TimelineRecorder recorder(parse_step_range("steps=5"));
  EXPECT_TRUE(recorder.wants(5));
  EXPECT_FALSE(recorder.wants(4));
  recorder.write(scratch_ / "empty.json");
  EXPECT_TRUE(slices(events(scratch_ / "empty.json"), 0).empty());
}

}  // namespace
}  // namespace hecate::trace
