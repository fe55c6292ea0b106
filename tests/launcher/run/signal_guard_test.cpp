#include "launcher/run/signal_guard.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

TEST(SignalGuardTest, FirstSignalOnlyRaisesTheFlag) {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) {
    const SignalGuard guard(60);
    EXPECT_FALSE(guard.requested());
    raise(signal);
    EXPECT_TRUE(guard.requested());
    EXPECT_EQ(guard.signal(), signal);
  }
}

TEST(SignalGuardDeathTest, SecondSignalEndsTheProcessWith130) {
  EXPECT_EXIT(
      {
        const SignalGuard guard(60);
        raise(SIGTERM);
        raise(SIGINT);
      },
      ::testing::ExitedWithCode(130), "second signal");
}

TEST(SignalGuardDeathTest, OtherRanksStopSilently) {
  EXPECT_EXIT(
      {
        const SignalGuard guard(60, std::nullopt);
        raise(SIGUSR1);
        raise(SIGTERM);
      },
      ::testing::ExitedWithCode(130), "^$");
}

TEST(SignalGuardDeathTest, ARankSpeaksWhenThoseBeforeItAreGone) {
  const auto stopped = [](const std::vector<int>& before) {
    const SignalGuard guard(60, before);
    raise(SIGUSR1);
    raise(SIGTERM);
  };
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  waitpid(gone, nullptr, 0);
  EXPECT_EXIT(stopped({gone, gone}), ::testing::ExitedWithCode(130), "stopping after this step");
  EXPECT_EXIT(stopped({gone, getppid()}), ::testing::ExitedWithCode(130), "^$");
}

TEST(SignalGuardDeathTest, TheLastNoteIsInTheMessage) {
  EXPECT_EXIT(
      {
        SignalGuard guard(60);
        guard.set_note("an older one");
        guard.set_note("saved in c/step-1");
        raise(SIGTERM);
        raise(SIGTERM);
      },
      ::testing::ExitedWithCode(130),
      "hecate: stopping after this step; saved in c/step-1; once more to stop at once");
}

TEST(SignalGuardDeathTest, PassedDeadlineEndsTheProcessWith124) {
  EXPECT_EXIT(
      {
        const SignalGuard guard(0.5);
        raise(SIGTERM);
        std::this_thread::sleep_for(std::chrono::seconds(20));
      },
      ::testing::ExitedWithCode(124), "deadline");
}

TEST(SignalGuardDeathTest, HandlersAreRestored) {
  EXPECT_EXIT(
      {
        {
          const SignalGuard guard(60);
          raise(SIGTERM);
        }
        raise(SIGTERM);
      },
      ::testing::KilledBySignal(SIGTERM), "stopping after this step");
}

TEST(SignalGuardTest, EndOfTheGuardLiftsTheDeadline) {
  {
    const SignalGuard guard(1);
    raise(SIGINT);
  }
  EXPECT_EQ(alarm(0), 0u);
}

TEST(SignalGuardTest, ImpossibleUseIsRefused) {
  EXPECT_THROW(SignalGuard(0), InvalidArgument);
  const SignalGuard guard(1);
  EXPECT_THROW(SignalGuard(1), InvalidArgument);
}

}  // namespace
}  // namespace hecate::launcher
