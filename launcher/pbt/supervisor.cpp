#include "launcher/pbt/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

constexpr int kMostQuickEnds = 4;
constexpr std::chrono::seconds kQuick{5};
constexpr std::chrono::milliseconds kPause{300};
constexpr size_t kShown = 2000;  // characters of a log

std::string end_of(const std::filesystem::path& log) {
  const std::string text = io::read_file(log);
  return text.substr(text.size() - std::min(text.size(), kShown));
}

}  // namespace

Supervisor::Supervisor(std::vector<Slot> slots, Time not_before) {
  for (Slot& slot : slots) {
    State& state = states_.emplace_back();
    state.slot = std::move(slot);
    state.next = not_before;
  }
}

void Supervisor::start(State& state, Time now) const {
  std::vector<char*> words;
  for (const std::string& word : state.slot.argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const int log = ::open(state.slot.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (log < 0) throw io::io_error(state.slot.log, "open", errno);
  const pid_t child = ::fork();
  if (child == 0) {
    ::setpgid(0, 0);
    const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::close_range(STDERR_FILENO + 1, ~0U, 0);  // a port that a child keeps open cannot be reused
    ::execvp(words.front(), words.data());
    ::_exit(127);
  }
  const int reason = errno;
  ::close(log);
  if (child < 0) throw io::io_error(state.slot.argv.front(), "fork", reason);
  state.child = child;
  state.started = now;
}

bool Supervisor::collect(State& state, Time now) const {
  int status = 0;
  if (state.child < 0 || ::waitpid(state.child, &status, WNOHANG) != state.child) return false;
  state.child = -1;
  const bool failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
  state.quick_ends = failed && now - state.started < kQuick ? state.quick_ends + 1 : 0;
  state.next = now + kPause * (1 << state.quick_ends);
  return true;
}

void Supervisor::tend(Time now, const std::function<bool(const std::string&)>& alive) {
  for (State& state : states_) {
    collect(state, now);
    if (state.quick_ends >= kMostQuickEnds)
      throw IoError(concat("worker ", state.slot.name, " ended ", state.quick_ends,
                           " times at once; the end of ", state.slot.log.string(), ":\n",
                           end_of(state.slot.log)));
    if (closed_ || state.child >= 0 || now < state.next || alive(state.slot.name)) continue;
    start(state, now);
  }
}

void Supervisor::send(int signal) const {
  for (const State& state : states_)
    if (state.child > 0) ::kill(-state.child, signal);
}

size_t Supervisor::running() {
  size_t count = 0;
  for (State& state : states_) {
    collect(state, std::chrono::steady_clock::now());
    count += state.child > 0 ? 1 : 0;
  }
  return count;
}

}  // namespace hecate::launcher
