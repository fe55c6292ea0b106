#include "launcher/run/signal_guard.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

constexpr int kSecondSignalCode = 130, kDeadlineCode = 124;
constexpr std::array<int, 4> kSignals = {SIGINT, SIGTERM, SIGUSR1, SIGALRM};

// A signal handler has no argument of its own: the state of the one live guard is static.
std::atomic<bool> live{false};
std::atomic<int> received{0};
std::atomic<unsigned> deadline{0};
std::atomic<int> speakers{0};  // of the processes below; negative: silent
constexpr int kMostSpeakers = 64;
std::array<pid_t, kMostSpeakers> speaker{};
// The message of the first signal: the handler reads one while the other is written.
std::array<std::array<char, 1024>, 2> message{};
std::atomic<int> current_message{0};
std::array<struct sigaction, kSignals.size()> previous;
static_assert(std::atomic<int>::is_always_lock_free);

bool speaks() {
  for (int i = 0; i < speakers; ++i)
    if (::kill(speaker[static_cast<size_t>(i)], 0) == 0 || errno != ESRCH) return false;
  return speakers >= 0;
}

void say(std::string_view text) {
  const int error = errno;
  const bool speak = speaks();
  errno = error;
  if (!speak) return;
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;  // nobody left to tell
}

void on_stop(int signal) {
  int none = 0;
  if (!received.compare_exchange_strong(none, signal)) {
    say("\nhecate: second signal: stopping at once\n");
    ::_exit(kSecondSignalCode);
  }
  say(message[static_cast<size_t>(current_message)].data());
  ::alarm(deadline);
}

void on_deadline(int) {
  say("\nhecate: the deadline after the signal passed (train.deadline_seconds): stopping at "
      "once\n");
  ::_exit(kDeadlineCode);
}

}  // namespace

SignalGuard::SignalGuard(double deadline_seconds,
                         const std::optional<std::vector<int>>& speakers_before) {
  HECATE_CHECK(deadline_seconds > 0 && deadline_seconds < 1e9,
               "signal deadline: expected between 0 and 1e9 seconds, got ", deadline_seconds);
  HECATE_CHECK(!live.exchange(true), "a SignalGuard lives already");
  received = 0;
  speakers = -1;
  if (speakers_before && speakers_before->size() <= speaker.size()) {
    std::copy(speakers_before->begin(), speakers_before->end(), speaker.begin());
    speakers = static_cast<int>(speakers_before->size());
  }
  set_note("");
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

void SignalGuard::set_note(std::string_view note) {
  const int next = 1 - current_message;
  std::array<char, 1024>& text = message[static_cast<size_t>(next)];
  const auto length = static_cast<int>(std::min(note.size(), text.size() - 128));
  std::snprintf(text.data(), text.size(),
                "\nhecate: stopping after this step%s%.*s; once more to stop at once\n",
                note.empty() ? "" : "; ", length, note.data());
  current_message = next;
}

int SignalGuard::signal() const {
  return received;
}

}  // namespace hecate::launcher
