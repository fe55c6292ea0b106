#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "collectives/flight_comparison.h"
#include "runtime/base/error.h"
#include "tests/collectives/threads.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::collectives {
namespace {

using hecate::testing::ScratchDirectory;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::shared_ptr<const std::vector<int>> group(std::vector<int> ranks) {
  return std::make_shared<const std::vector<int>>(std::move(ranks));
}

FlightEntry entry(const std::string& operation, int64_t sequence, OperationState state,
                  std::vector<int> late = {}) {
  FlightEntry result;
  result.operation = operation;
  result.lane = LaneKind::sparse;
  result.context = 7;
  result.ranks = group({0, 1, 2});
  result.sequence = sequence;
  result.bytes = 64;
  result.state = state;
  result.late = std::move(late);
  return result;
}

// What compare() makes of the records after a way through text.
FlightComparison compared(const std::vector<RankRecord>& records) {
  std::stringstream text;
  for (const RankRecord& record : records) write(text, record.rank, record.entries);
  text << "survivor: some other line\n";
  return compare(read_records(text));
}

constexpr auto kDone = OperationState::done;
constexpr auto kFailed = OperationState::failed;

TEST(FlightRecord, KeepsTheLast64) {
  FlightRecord record;
  FlightEntry barrier;
  barrier.operation = "barrier";
  for (int i = 0; i < 100; ++i) {
    barrier.sequence = i;
    record.add(barrier);
  }
  record.update(0, OperationState::failed, 1);  // long gone
  record.set_late(0, {1});
  const auto entries = record.snapshot();
  ASSERT_EQ(entries.size(), 64u);
  EXPECT_EQ(entries.front().sequence, 36);
  EXPECT_EQ(entries.front().state, OperationState::queued);
  EXPECT_THAT(entries.front().late, IsEmpty());
}

TEST(FlightRecord, WritesSetsOfRanksShort) {
  EXPECT_EQ(write_ranks({}), "-");
  EXPECT_EQ(write_ranks({3}), "3");
  EXPECT_EQ(write_ranks({2, 1, 0, 7}), "0-2,7");
  EXPECT_EQ(write_ranks({0, 2, 4, 6, 9}), "0-6:2,9");
  EXPECT_EQ(write_ranks({1, 4}), "1,4");
  for (const std::vector<int>& ranks : std::vector<std::vector<int>>{
           {}, {5}, {0, 1}, {0, 2}, {0, 1, 3, 5, 7, 8}, {4, 8, 12, 13, 14, 20}})
    EXPECT_EQ(read_ranks(write_ranks(ranks)), ranks);
  for (const char* text : {"x", "1-", "0-4:0", "1;2", "-3", "0-4:"})
    EXPECT_THROW(read_ranks(text), InvalidArgument) << text;
}

TEST(FlightComparison, NamesTheRankThatIsBehind) {
  const auto result =
      compared({{0, {entry("barrier", 3, kDone), entry("all_reduce", 4, kFailed)}},
                {1, {entry("barrier", 3, kDone)}},
                {2, {entry("barrier", 3, kDone), entry("all_reduce", 4, kFailed)}}});
  EXPECT_THAT(result.odd, ElementsAre(1));
  EXPECT_THAT(result.text, HasSubstr("ranks 0-2 did not get past all_reduce (operation 4 of "
                                     "communicator 7, lane sparse):\n"));
  EXPECT_THAT(result.text, HasSubstr("rank 1: operation 3 barrier, 64 bytes, done (behind)\n"));
  EXPECT_THAT(result.text, HasSubstr("odd one out: rank 1, which has not called all_reduce"));
}

TEST(FlightComparison, NamesTheRankThatLeftNoRecord) {
  const auto result = compared({{0, {entry("all_reduce", 4, kFailed, {2})}},
                                {1, {entry("all_reduce", 4, kFailed, {0, 2})}}});
  EXPECT_THAT(result.odd, ElementsAre(2));
  EXPECT_THAT(result.text, HasSubstr("odd one out: rank 2, which left no record; the others were "
                                     "in all_reduce (operation 4"));
}

TEST(FlightComparison, NamesTheRankInAnotherOperation) {
  const auto result = compared({{0, {entry("all_reduce", 4, kFailed, {1})}},
                                {1, {entry("all_gather", 4, kFailed, {0, 2})}},
                                {2, {entry("all_reduce", 4, kFailed, {1})}}});
  EXPECT_THAT(result.odd, ElementsAre(1));
  EXPECT_THAT(result.text, HasSubstr("which called all_gather"));
}

// Rank 0 waits for 1, which waits for 2 elsewhere: 2 is to blame.
TEST(FlightComparison, FollowsTheChainToItsEnd) {
  FlightEntry pair = entry("broadcast", 0, kFailed, {2});
  pair.context = 8;
  pair.ranks = group({1, 2});
  const auto result = compared({{0, {entry("barrier", 9, kFailed, {1})}},
                                {1, {entry("barrier", 8, kDone), pair}},
                                {2, {entry("barrier", 9, OperationState::queued)}}});
  EXPECT_THAT(result.odd, ElementsAre(2));
  EXPECT_THAT(result.text, HasSubstr("has not called broadcast (operation 0 of communicator 8"));
}

TEST(FlightComparison, KeepsGroupsOfOneNumberApart) {
  FlightEntry even = entry("barrier", 50, kDone), odd = entry("barrier", 3, kFailed, {3});
  even.ranks = group({0, 2});
  odd.ranks = group({1, 3});
  const auto result = compared({{0, {even}}, {1, {odd}}, {2, {even}}});
  EXPECT_THAT(result.odd, ElementsAre(3));
  EXPECT_THAT(result.text, Not(HasSubstr("ranks 0,2")));
}

TEST(FlightComparison, NamesTheMissingPeerOfAnExchange) {
  const auto lonely = entry("exchange", FlightEntry::kPointToPoint, kFailed, {1});
  const auto result = compared({{0, {lonely}}, {2, {entry("barrier", 0, kDone)}}});
  EXPECT_THAT(result.odd, ElementsAre(1));
  EXPECT_THAT(result.text, HasSubstr("the others were in exchange (communicator 7, lane sparse)"));
}

TEST(FlightComparison, SaysNothingWhenEverythingEnded) {
  // Unequal bytes and progress are no fault.
  FlightEntry more = entry("all_gather", 5, kDone);
  more.bytes = 128;
  const auto result = compared({{0, {entry("all_gather", 5, kDone)}}, {1, {more}}, {2, {}}});
  EXPECT_THAT(result.odd, IsEmpty());
  EXPECT_EQ(result.text, "");
  std::istringstream nonsense("flight x");
  EXPECT_THROW(read_records(nonsense), InvalidArgument);
}

TEST(FlightReport, NamesAStalledRankAndItsOperation) {
  const ScratchDirectory scratch;
  CommunicatorOptions options;
  options.timeout = milliseconds(200);
  options.flight_directory = scratch.path();
  // Left by an earlier job: neither is evidence.
  std::ofstream(flight_file(options.flight_directory, 2))
      << "flight 2 dense 0 0-3 1 reduce 0 failed 1 0\n";
  std::ofstream(flight_report_file(options.flight_directory)) << "old";
  run_ranks(4, options, [&](const Communicator& world) {
    world.barrier().wait();
    if (world.rank() == 2) return;
    std::vector<float> data(10);
    EXPECT_THROW(world.broadcast(data.data(), 10, DType::f32, 2).wait(), CommError);
    const std::string report =
        report_failure(options.flight_directory, world.rank(), milliseconds(500));
    if (world.rank() != 0) {
      EXPECT_EQ(report, "");
    } else {
      EXPECT_THAT(report, HasSubstr("odd one out: rank 2, which left no record; the others were "
                                    "in broadcast (operation 1 of communicator 0, lane dense)\n"));
      EXPECT_THAT(report, HasSubstr("rank 3: operation 1 broadcast"));
    }
    std::stringstream kept;
    kept << std::ifstream(flight_report_file(options.flight_directory)).rdbuf();
    EXPECT_THAT(kept.str(), HasSubstr("odd one out: rank 2"));
  });
  const auto records = read_records(options.flight_directory);
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(compare(records).odd, (std::vector<int>{2}));
}

TEST(FlightReport, MakesItsDirectoryAndWaitsForRecords) {
  const ScratchDirectory scratch;
  CommunicatorOptions options;
  options.timeout = milliseconds(200);
  options.flight_directory = scratch / "run/flight";
  run_ranks(3, options, [&](const Communicator& world) {
    if (world.rank() == 1) return;
    // Rank 0 looks before anybody has left a record.
    std::string report;
    if (world.rank() == 0) {
      std::thread early(
          [&] { report = report_failure(options.flight_directory, 0, milliseconds(1500)); });
      EXPECT_THROW(world.barrier().wait(), CommError);
      early.join();
      EXPECT_THAT(report, HasSubstr("odd one out: rank 1"));
    } else {
      EXPECT_THROW(world.barrier().wait(), CommError);
    }
  });
  EXPECT_TRUE(std::filesystem::exists(flight_file(options.flight_directory, 2)));
}

TEST(FlightReport, SaysWhyThereIsNone) {
  const ScratchDirectory scratch;
  EXPECT_EQ(report_failure("", 0), "");
  EXPECT_THAT(report_failure(scratch.path(), 0, milliseconds(10)), HasSubstr("no flight record"));
  EXPECT_THROW(read_records(scratch.path().string()), IoError);
}

}  // namespace
}  // namespace hecate::collectives
