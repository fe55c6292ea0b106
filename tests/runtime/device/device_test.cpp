#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <numeric>
#include <thread>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/device/lane.h"
#include "runtime/device/thread_pool.h"

namespace hecate {
namespace {

using namespace std::chrono_literals;

class ThreadPoolTest : public testing::TestWithParam<int> {};

// In a process of its own that has room for a few stacks only.
TEST(ThreadPoolDeathTest, TooManyThreadsAreAnErrorNotAnAbort) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's own memory does not fit the limit";
#endif
  const auto start = [] {
    const rlimit limit{.rlim_cur = size_t{1} << 30, .rlim_max = size_t{1} << 30};
    setrlimit(RLIMIT_AS, &limit);
    try {
      const ThreadPool pool(4096);
    } catch (const DeviceError& error) {
      std::fprintf(stderr, "%s\n", error.what());
      std::_Exit(3);
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(start(), testing::ExitedWithCode(3), "cannot start 4096 compute threads");
}

TEST_P(ThreadPoolTest, RunsEveryIndexOnce) {
  ThreadPool pool(GetParam());
  for (int64_t count : {0, 1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> hits(static_cast<size_t>(count));
    pool.parallel_for(count, [&](int64_t i, int worker) {
      EXPECT_GE(worker, 0);
      EXPECT_LT(worker, GetParam());
      ++hits[static_cast<size_t>(i)];
    });
    for (const auto& hit : hits) EXPECT_EQ(hit.load(), 1);
  }
}

TEST_P(ThreadPoolTest, RangesCoverTheSizeAndStartAtTheGrain) {
  ThreadPool pool(GetParam());
  for (int64_t size : {0, 1, 63, 64, 65, 10000}) {
    std::atomic<int64_t> sum{0};
    pool.parallel_ranges(size, 64, [&](int64_t begin, int64_t end, int) {
      EXPECT_EQ(begin % 64, 0);
      EXPECT_LT(begin, end);
      sum += end - begin;
    });
    EXPECT_EQ(sum.load(), size);
  }
}

TEST_P(ThreadPoolTest, RethrowsTheFirstErrorAndStaysUsable) {
  ThreadPool pool(GetParam());
  EXPECT_THROW(pool.parallel_for(100,
                                 [](int64_t i, int) {
                                   if (i == 13) throw InvalidArgument("thirteen");
                                 }),
               InvalidArgument);
  std::atomic<int> ran{0};
  pool.parallel_for(10, [&](int64_t, int) { ++ran; });
  EXPECT_EQ(ran.load(), 10);
}

TEST_P(ThreadPoolTest, ScratchIsPerWorkerAndGrows) {
  ThreadPool pool(GetParam());
  pool.parallel_for(50, [&](int64_t i, int worker) {
    std::byte* block = pool.scratch(worker, static_cast<size_t>(i + 1) * 100);
    block[0] = std::byte{1};
  });
  EXPECT_GE(pool.scratch_bytes(), 100u);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 3, 8),
                         testing::PrintToStringParamName());

double process_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

TEST(ThreadPool, IdleWorkersSleep) {
  ThreadPool pool(4);
  pool.parallel_for(100, [](int64_t, int) {});
  const double before = process_cpu_seconds();
  std::this_thread::sleep_for(300ms);
  EXPECT_LT(process_cpu_seconds() - before, 0.1);
}

struct Recorder {
  std::vector<int64_t> order;
  std::chrono::milliseconds delay{0};
  static void call(void* self, int64_t argument, Stream&) {
    auto* recorder = static_cast<Recorder*>(self);
    std::this_thread::sleep_for(recorder->delay);
    recorder->order.push_back(argument);
  }
  Lane::Task task(int64_t argument) {
    return {.call = &call, .object = this, .argument = argument};
  }
};

class LaneTest : public testing::Test {
 protected:
  std::unique_ptr<Lane> make(LaneKind kind) {
    return std::make_unique<Lane>(kind, std::make_unique<CpuStream>(pool_));
  }
  ThreadPool pool_{1};
};

TEST_F(LaneTest, RunsTasksInOrder) {
  auto lane = make(LaneKind::compute);
  Recorder recorder;
  for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(lane->submit(recorder.task(i)), i + 1);
  lane->synchronize();
  std::vector<int64_t> expected(100);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(recorder.order, expected);
  EXPECT_EQ(lane->completed(), 100);
}

TEST_F(LaneTest, WaitsForAnotherLanesTicket) {
  auto slow = make(LaneKind::sparse), fast = make(LaneKind::compute);
  Recorder shared;
  shared.delay = 20ms;
  const int64_t ticket = slow->submit(shared.task(1));
  fast->wait_for(*slow, ticket);
  fast->submit(shared.task(2));
  fast->synchronize();
  slow->synchronize();
  EXPECT_EQ(shared.order, (std::vector<int64_t>{1, 2}));
}

TEST_F(LaneTest, AnErrorStopsTheLaneAndThoseThatWaitForIt) {
  auto failing = make(LaneKind::sparse), waiting = make(LaneKind::compute);
  Recorder recorder;
  const Lane::Task bad{.call = [](void*, int64_t, Stream&) { throw CommError("peer is gone"); },
                       .object = nullptr,
                       .argument = 0};
  const int64_t ticket = failing->submit(bad);
  failing->submit(recorder.task(1));
  waiting->wait_for(*failing, ticket);
  waiting->submit(recorder.task(2));
  EXPECT_THROW(waiting->synchronize(), CommError);
  EXPECT_THROW(failing->synchronize(), CommError);
  EXPECT_TRUE(recorder.order.empty());
  failing->submit(recorder.task(3));
  failing->synchronize();
  EXPECT_EQ(recorder.order, (std::vector<int64_t>{3}));
}

TEST_F(LaneTest, AWaitForAFailedTaskFailsAlsoAfterTheErrorWasReported) {
  auto failing = make(LaneKind::compute), waiting = make(LaneKind::sparse);
  Recorder recorder;
  const Lane::Task bad{.call = [](void*, int64_t, Stream&) { throw CommError("peer is gone"); },
                       .object = nullptr,
                       .argument = 0};
  const int64_t good = failing->submit(recorder.task(1));
  const int64_t ticket = failing->submit(bad);
  const int64_t skipped = failing->submit(recorder.task(2));
  EXPECT_THROW(failing->synchronize(), CommError);
  for (const int64_t failed : {ticket, skipped}) {
    waiting->wait_for(*failing, failed);
    waiting->submit(recorder.task(3));
    EXPECT_THROW(waiting->synchronize(), CommError);
  }
  const int64_t later = failing->submit(recorder.task(4));
  failing->synchronize();
  for (const int64_t done : {good, later}) {
    waiting->wait_for(*failing, done);
    waiting->submit(recorder.task(5));
    waiting->synchronize();
  }
  EXPECT_EQ(recorder.order, (std::vector<int64_t>{1, 4, 5, 5}));
}

TEST_F(LaneTest, SynchronizeForGivesUpInTime) {
  auto lane = make(LaneKind::compute);
  Recorder recorder;
  recorder.delay = 200ms;
  lane->submit(recorder.task(1));
  EXPECT_FALSE(lane->synchronize_for(10ms));
  EXPECT_TRUE(lane->synchronize_for(5s));
}

TEST_F(LaneTest, IdleLanesUseNoProcessor) {
  auto a = make(LaneKind::compute), b = make(LaneKind::sparse);
  const double before = process_cpu_seconds();
  std::this_thread::sleep_for(300ms);
  EXPECT_LT(process_cpu_seconds() - before, 0.05);
}

}  // namespace
}  // namespace hecate
