#include "launcher/run/signal_guard.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cmath>
#include <string_view>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

constexpr int kSecondSignalCode = 130, kDeadlineCode = 124;
constexpr std::array<int, 4> kSignals = {SIGINT, SIGTERM, SIGUSR1, SIGALRM};

// A signal handler has no argument of its own: the state of the one live guard is static.
std::atomic<bool> live{false};
std::atomic<bool> speaks{true};
std::atomic<int> received{0};
std::atomic<unsigned> deadline{0};
std::array<struct sigaction, kSignals.size()> previous;
static_assert(std::atomic<int>::is_always_lock_free);

void say(std::string_view text) {
  if (!speaks) return;
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;  // nobody left to tell
}

void on_stop(int signal) {
  int none = 0;
  if (!received.compare_exchange_strong(none, signal)) {
    say("\nhecate: second signal: stopping at once\n");
    ::_exit(kSecondSignalCode);
  }
  say("\nhecate: stopping after this step; once more to stop at once\n");
  ::alarm(deadline);
}

void on_deadline(int) {
  say("\nhecate: the deadline after the signal passed (train.deadline_seconds): stopping at "
      "once\n");
  ::_exit(kDeadlineCode);
}

}  // namespace

SignalGuard::SignalGuard(double deadline_seconds, bool speak) {
  HECATE_CHECK(deadline_seconds > 0 && deadline_seconds < 1e9,
               "signal deadline: expected between 0 and 1e9 seconds, got ", deadline_seconds);
  HECATE_CHECK(!live.exchange(true), "a SignalGuard lives already");
  received = 0;
  speaks = speak;
  deadline = static_cast<unsigned>(std::ceil(deadline_seconds));
  for (size_t i = 0; i < kSignals.size(); ++i) {
    struct sigaction action {};
    action.sa_handler = kSignals[i] == SIGALRM ? on_deadline : on_stop;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(kSignals[i], &action, &previous[i]);
  }
}

SignalGuard::~SignalGuard() {
  ::alarm(0);
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &previous[i], nullptr);
  live = false;
}

int SignalGuard::signal() const {
  return received;
}

}  // namespace hecate::launcher
