#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "launcher/checkpoint/directory.h"
#include "tests/launcher/checkpoint/state.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::checkpoint {
namespace {

using hecate::testing::ScratchDirectory;
using ::testing::IsEmpty;
using testing::LogicalTensor;

std::vector<LogicalTensor> model() {
  std::vector<LogicalTensor> tensors;
  for (int i = 0; i < 6; ++i)
    tensors.push_back({concat("layers.", i, ".w"), Kind::parameter, DType::f32, {64, 1 << 9}});
  return tensors;
}

/// Saves step after step until killed; tells each finished one through the pipe.
[[noreturn]] void save_forever(const std::filesystem::path& directory, int64_t first_step,
                               int pipe) {
  WriterOptions options;
  options.directory = directory;
  options.keep = 2;
  options.max_file_bytes = 300'000;
  CheckpointWriter writer(options);
  const auto tensors = model();
  for (int64_t step = first_step;; ++step) {
    // Every step twice: the second replaces the first.
    for (int time = 0; time < 2; ++time) {
      const auto state = testing::whole_state(tensors, step);
      writer.save(testing::snapshot_of(state, step));
      writer.wait();
      if (::write(pipe, &step, sizeof step) != sizeof step) ::_exit(1);
    }
  }
}

/// Waits for the child's next report. @returns the seconds that took.
double wait_for_report(int pipe, int64_t& step) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(::read(pipe, &step, sizeof step), static_cast<ssize_t>(sizeof step));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Everything the child reported before it died; the last one counts.
int64_t last_report(int pipe, int64_t before) {
  int64_t step = 0;
  while (::read(pipe, &step, sizeof step) == sizeof step) before = step;
  return before;
}

TEST(Crash, KilledAtAnyMomentAFinishedCheckpointRemains) {
  const ScratchDirectory scratch;
  const CounterRng rng(31, 0);
  int64_t finished = 0;
  int interrupted = 0;
  double save_seconds = 0;
  for (uint64_t round = 0; round < 25; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      save_forever(scratch.path(), finished + 1, ends[1]);
    }
    ::close(ends[1]);
    int64_t reported = finished;
    // Now and then a save must end, however slow the machine; the moments follow its pace.
    if (round % 4 == 0) save_seconds = wait_for_report(ends[0], reported);
    std::this_thread::sleep_for(
        std::chrono::duration<double>(2 * save_seconds * rng.uniform(round)));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    reported = last_report(ends[0], reported);
    ::close(ends[0]);
    for (const auto& entry : std::filesystem::directory_iterator(scratch.path()))
      interrupted += entry.path().filename().string().starts_with(".tmp-") ? 1 : 0;

    const Latest latest = find_latest(scratch.path());
    EXPECT_THAT(latest.warnings, IsEmpty());
    if (reported > 0) {
      ASSERT_TRUE(latest.checkpoint);
      EXPECT_GE(latest.checkpoint->step, reported);
    }
    if (!latest.checkpoint) continue;
    finished = latest.checkpoint->step;
    const Checkpoint checkpoint(latest.checkpoint->path);
    for (const LogicalTensor& tensor : model())
      ASSERT_EQ(testing::load_whole(checkpoint, tensor), testing::content_of(tensor, finished));
  }
  EXPECT_GT(finished, 0) << "no save ever finished: the test proves nothing";
  EXPECT_GT(interrupted, 0) << "no kill hit a write: the test proves nothing";
}

}  // namespace
}  // namespace hecate::checkpoint
