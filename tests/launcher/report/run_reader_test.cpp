#include "launcher/report/run_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/run/run_directory.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "runtime/io/npy.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launcher {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using monitoring::RunData;
using monitoring::RunState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RunReaderTest : public ::testing::Test {
 protected:
  std::filesystem::path run(const std::string& name, const std::string& steps,
                            const std::string& config = "[train]\nsteps = 2\n") const {
    const RunDirectory directory = RunDirectory::create(scratch_ / name, config);
    if (!steps.empty()) io::write_file(directory.steps(), steps);
    return directory.path();
  }
  static RunData only(const std::filesystem::path& path) {
    return read_report({path.string()}).runs.at(0);
  }

  ScratchDirectory scratch_;
};

TEST_F(RunReaderTest, TellsRunningFromFinishedFromStopped) {
  EXPECT_EQ(only(run("going", "{\"step\":1}\n")).state, RunState::running);
  EXPECT_EQ(only(run("done", "{\"step\":1}\n{\"step\":2}\n")).state, RunState::finished);
  const auto dead = run("dead", "{\"step\":1}\n");
  std::filesystem::last_write_time(
      dead / "steps.jsonl", std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  const RunData stopped = only(dead);
  EXPECT_EQ(stopped.state, RunState::stopped);
  EXPECT_NEAR(stopped.age_seconds, 3600, 60);
}

TEST_F(RunReaderTest, ARunThatHasJustBegunIsEmpty) {
  const RunData data = only(run("new", ""));
  EXPECT_EQ(data.steps.rows(), 0);
  EXPECT_THAT(data.notes, ElementsAre("there is no steps.jsonl yet"));
  EXPECT_EQ(data.total_steps, 2);
}

TEST_F(RunReaderTest, SettingsAreFlat) {
  const RunData data = only(run("set", "",
                                "seed = 3\n[device]\nmemory_gib = 0.5\n[model]\nlist = [1, 2]\n"
                                "name = \"<b>\"\n"));
  EXPECT_EQ(data.setting("seed"), "3");
  EXPECT_EQ(data.setting("model.list"), "[1, 2]");
  EXPECT_EQ(data.setting("model.name"), "<b>");
  EXPECT_EQ(data.setting("unknown"), "");
  EXPECT_EQ(data.budget_bytes, 512.0 * 1024 * 1024);
}

TEST_F(RunReaderTest, DamagedFilesAreNotesNotErrors) {
  const auto path = run("hurt", "{\"step\":1}\n", "not toml at all [");
  io::write_file(path / "loads.npy", "no array");
  std::filesystem::create_directories(path / "timeline");
  io::write_file(path / "timeline" / "rank-0.json", "{\"ph\":\"X\",\n{\"ph\":\"X\"}\n");
  const RunData data = only(path);
  EXPECT_EQ(data.steps.rows(), 1);
  ASSERT_EQ(data.notes.size(), 3u);
  EXPECT_THAT(data.notes[0], HasSubstr("config.toml"));
  EXPECT_THAT(data.notes[1], HasSubstr("loads.npy: left out"));
  EXPECT_THAT(data.notes[2], HasSubstr("rank-0.json: some events are damaged"));
}

TEST_F(RunReaderTest, LoadTracesAreSummedOverRanks) {
  const auto path = run("traced", "{\"step\":1,\"load\":{\"3\":{\"entropy\":1}}}\n");
  const std::vector<int64_t> row = {2, 1, 2};  // ranks, layers, experts
  {
    io::NpyAppender file(path / "loads.npy", "<u2", row, 0);
    const std::vector<uint16_t> steps = {1, 2, 30, 40, 5, 6, 7, 8};
    for (size_t step = 0; step < 2; ++step)
      file.append(std::as_bytes(std::span(steps).subspan(4 * step, 4)));
  }
  const RunData data = only(path);
  ASSERT_TRUE(data.loads);
  EXPECT_THAT(data.loads->layers, ElementsAre(3)) << "numbered as in the step log";
  EXPECT_THAT(data.loads->steps, ElementsAre(1, 2));
  EXPECT_THAT(data.loads->counts, ElementsAre(31, 42, 12, 14));
}

TEST_F(RunReaderTest, TheLastStepOfATimelineIsItsExcerpt) {
  const auto path = run("timed", "{\"step\":1}\n");
  std::filesystem::create_directories(path / "timeline");
  const auto slice = [](const char* name, const char* kind, int row, int step, int begin) {
    return concat(R"({"ph":"X","pid":0,"tid":)", row, R"(,"name":")", name, R"(","cat":")", kind,
                  R"(","ts":)", begin, R"(,"dur":500,"args":{"step":)", step, "}},\n");
  };
  io::write_file(
      path / "timeline" / "rank-0.json",
      "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n"
      R"({"ph":"M","pid":0,"tid":1,"name":"thread_name","args":{"name":"compute"}},)"
      "\n" +
          slice("step 4", "step", 0, 4, 1000) + slice("old", "gemm", 1, 4, 1000) +
          slice("step 5", "step", 0, 5, 2000) + slice("new", "gemm", 1, 5, 2250) +
          R"({"ph":"C","pid":0,"tid":0,"name":"memory: buffers","ts":1000,"args":{"bytes":7}},)"
          "\n"
          R"({"ph":"C","pid":0,"tid":0,"name":"memory: buffers","ts":2200,"args":{"bytes":9}})"
          "\n]}\n");
  const RunData data = only(path);
  ASSERT_TRUE(data.timeline);
  EXPECT_THAT(data.notes, IsEmpty());
  EXPECT_EQ(data.timeline->step, 5);
  EXPECT_THAT(data.timeline->lanes, ElementsAre("compute"));
  ASSERT_EQ(data.timeline->slices.size(), 1u);
  EXPECT_EQ(data.timeline->slices[0].name, "new");
  EXPECT_DOUBLE_EQ(data.timeline->slices[0].begin, 0.25);
  EXPECT_DOUBLE_EQ(data.timeline->slices[0].end, 0.75);
  ASSERT_EQ(data.timeline->counters.size(), 1u);
  const auto& values = data.timeline->counters[0].values;
  ASSERT_EQ(values.size(), 2u);
  EXPECT_EQ(values[0], std::pair(0.0, 7.0)) << "what it was when the step began";
  EXPECT_NEAR(values[1].first, 0.2, 1e-9);
  EXPECT_EQ(values[1].second, 9.0);
}

TEST_F(RunReaderTest, LongCountersKeepPeaksAndWhatTheyFallTo) {
  const auto path = run("counted", "{\"step\":1}\n");
  std::filesystem::create_directories(path / "timeline");
  std::string events =
      R"({"ph":"X","pid":0,"tid":0,"name":"step 1","cat":"step","ts":0,"dur":100000},)"
      "\n";
  const auto count = [&](int time, int value) {
    events += concat(R"({"ph":"C","pid":0,"tid":0,"name":"memory: buffers","ts":)", time,
                     R"(,"args":{"bytes":)", value, "}},\n");
  };
  for (int time = 0; time < 50000; time += 10) count(time, 1);
  count(50003, 900);
  count(50005, 1);
  for (int time = 50010; time < 99990; time += 10) count(time, 1);
  count(99999, 500);
  count(100000, 0);
  io::write_file(path / "timeline" / "rank-0.json", "{\"traceEvents\":[\n" + events + "\n]}\n");
  const RunData data = only(path);
  ASSERT_TRUE(data.timeline);
  ASSERT_EQ(data.timeline->counters.size(), 1u);
  const auto& values = data.timeline->counters[0].values;
  EXPECT_LE(values.size(), 700u);
  EXPECT_THAT(values, ::testing::Contains(::testing::Pair(::testing::_, 900.0)));
  EXPECT_THAT(values, ::testing::Contains(::testing::Pair(::testing::_, 500.0)));
  EXPECT_EQ(values.back(), std::pair(100.0, 0.0)) << "it ends as low as it ended";
}

TEST_F(RunReaderTest, WhatIsNoRunIsNamed) {
  EXPECT_THAT(message_of<InvalidArgument>([&] { only(scratch_ / "nowhere"); }),
              HasSubstr("nowhere: no such run directory"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { only(scratch_.path()); }),
              HasSubstr("not a run directory"));
}

TEST_F(RunReaderTest, NamesTellRunsApart) {
  const auto a = run("a", ""), b = run("b", ""), inner = run("more/a", "");
  const auto report = read_report({a.string() + "/", b.string(), inner.string(), a.string()});
  ASSERT_EQ(report.runs.size(), 3u) << "the same run twice is one";
  EXPECT_EQ(report.runs[1].name, "b");
  EXPECT_EQ(report.runs[2].name, "more/a");
  EXPECT_THAT(report.runs[0].name, HasSubstr("/a"));
}

TEST_F(RunReaderTest, APopulationIsItsMembersAndItsExploits) {
  const auto population = scratch_ / "pbt";
  std::filesystem::create_directories(population);
  run("pbt/members/00", "{\"step\":1}\n");
  for (const char* name : {"01", "01.2", "01.10"})
    run(std::string("pbt/members/") + name, "{\"step\":1}\n");
  io::write_file(
      population / "pbt.jsonl",
      R"({"target":1,"donor":0,"target_step":20,"donor_step":20,"target_score":3.5,)"
      R"("donor_score":null,"old":{"schedule.rate":"0.01"},"new":{"schedule.rate":0.02}})"
      "\nnoise\n{\"target\":0,\"don");
  const auto report = read_report({population.string()});
  ASSERT_EQ(report.runs.size(), 2u);
  EXPECT_EQ(report.runs[0].name, "00");
  EXPECT_EQ(report.runs[1].name, "01.10") << "what the member is now";
  ASSERT_EQ(report.exploits.size(), 1u);
  const monitoring::Exploit& exploit = report.exploits[0];
  EXPECT_EQ(exploit.target, "1");
  EXPECT_EQ(exploit.target_step, 20);
  EXPECT_TRUE(std::isnan(exploit.donor_score));
  EXPECT_THAT(exploit.after, ElementsAre(std::pair("schedule.rate", "0.02")));
}

}  // namespace
}  // namespace hecate::launcher
