#include "launcher/launch/runner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <utility>

#include "launcher/launch/rank_output.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launch {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kKillAfter{10};  // SIGTERM to the starter, then SIGKILL
constexpr std::chrono::seconds kDrainFor{2};    // of output that comes after the starter's end

std::string find_in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const size_t colon = std::min(rest.find(':'), rest.size());
    const std::filesystem::path file = std::filesystem::path(rest.substr(0, colon)) / program;
    if (::access(file.c_str(), X_OK) == 0) return file;
    rest.remove_prefix(std::min(rest.size(), colon + 1));
  }
  throw InvalidArgument(concat(
      "launch: ", program, " is not in PATH; ",
      program == "mpirun" ? "install Open MPI (Debian: openmpi-bin)" : "is this a Slurm cluster?"));
}

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }
  int get() const { return number_; }
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }

 private:
  int number_;
};

struct Pipe {
  Descriptor read, write;
  Pipe() {
    std::array<int, 2> ends;
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw io::io_error("pipe", "open", errno);
    read = Descriptor(ends[0]);
    write = Descriptor(ends[1]);
  }
};

// Signals become readable instead of interrupting; undone at the end.
class SignalQueue {
 public:
  SignalQueue() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) ::sigaddset(&set, signal);
    ::sigprocmask(SIG_BLOCK, &set, &previous_);
    descriptor_ = Descriptor(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  ~SignalQueue() { ::sigprocmask(SIG_SETMASK, &previous_, nullptr); }
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  int descriptor() const { return descriptor_.get(); }
  const sigset_t& previous() const { return previous_; }
  /// How many requests to stop came since the last call.
  int stops() const {
    int count = 0;
    signalfd_siginfo info{};
    while (::read(descriptor_.get(), &info, sizeof info) == sizeof info)
      count += info.ssi_signo != SIGCHLD ? 1 : 0;
    return count;
  }

 private:
  sigset_t previous_;
  Descriptor descriptor_;
};

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count < 0 && errno != EINTR) return;  // nobody reads: the job goes on
    if (count > 0) text.remove_prefix(static_cast<size_t>(count));
  }
}

class Runner {
 public:
  Runner(const Job& job, const RunnerOptions& options)
      : program_(find_in_path(job.starter == Starter::srun ? "srun" : job.argv.front())),
        prefix_(job.prefix),
        patience_(std::chrono::duration_cast<Clock::duration>(
            std::chrono::duration<double>(options.patience_seconds))),
        streams_{Stream(job.starter, STDOUT_FILENO), Stream(job.starter, STDERR_FILENO)} {
    start(job.argv);
  }

  int run() {
    while (!status_ || open_streams() > 0) {
      wait_for_events();
      for (Stream& stream : streams_) stream.read();
      for (int stops = signals_.stops(); stops > 0; --stops) stop();
      if (deadline_ && Clock::now() >= *deadline_) escalate();
      reap();
    }
    for (Stream& stream : streams_) stream.output.finish();
    return WIFEXITED(*status_) ? WEXITSTATUS(*status_) : 128 + WTERMSIG(*status_);
  }

 private:
  struct Stream {
    Stream(Starter starter, int to)
        : target(to), output(starter, [to](std::string_view line) { write_all(to, line); }) {}

    int target;
    Pipe pipe;
    RankOutput output;

    void read() {
      std::array<char, 1 << 16> bytes;
      while (pipe.read.get() >= 0) {
        const ssize_t count = ::read(pipe.read.get(), bytes.data(), bytes.size());
        if (count > 0)
          output.add({bytes.data(), static_cast<size_t>(count)});
        else if (count == 0 || errno != EINTR)
          return count == 0 ? pipe.read.close() : void();
      }
    }
  };

  void start(const std::vector<std::string>& argv) {
    std::vector<char*> words;
    for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    Pipe failure;
    const pid_t parent = ::getpid();
    child_ = ::fork();
    if (child_ < 0) throw io::io_error(program_, "fork", errno);
    if (child_ == 0) become(words, parent, failure.write.get());
    failure.write.close();
    for (Stream& stream : streams_) {
      stream.pipe.write.close();
      if (prefix_)
        ::fcntl(stream.pipe.read.get(), F_SETFL, O_NONBLOCK);
      else
        stream.pipe.read.close();
    }
    int reason = 0;
    if (::read(failure.read.get(), &reason, sizeof reason) == sizeof reason) {
      ::waitpid(child_, nullptr, 0);
      throw io::io_error(program_, "run", reason);
    }
  }

  // In the child. A group of its own: Ctrl-C reaches this process alone, which passes it on.
  [[noreturn]] void become(const std::vector<char*>& words, pid_t parent, int failure) const {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);
    const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(nothing, STDIN_FILENO);
    if (prefix_)
      for (const Stream& stream : streams_) ::dup2(stream.pipe.write.get(), stream.target);
    ::sigprocmask(SIG_SETMASK, &signals_.previous(), nullptr);
    ::execvp(words.front(), words.data());
    const int reason = errno;
    if (::write(failure, &reason, sizeof reason) < 0) ::_exit(126);
    ::_exit(127);
  }

  int open_streams() const {
    if (drain_until_ && Clock::now() >= *drain_until_) return 0;
    int count = 0;
    for (const Stream& stream : streams_) count += stream.pipe.read.get() >= 0 ? 1 : 0;
    return count;
  }

  void wait_for_events() {
    std::array<pollfd, 3> events = {pollfd{signals_.descriptor(), POLLIN, 0},
                                    pollfd{streams_[0].pipe.read.get(), POLLIN, 0},
                                    pollfd{streams_[1].pipe.read.get(), POLLIN, 0}};
    const auto& until = drain_until_ ? drain_until_ : deadline_;
    int wait = -1;
    if (until)
      wait = static_cast<int>(std::max<int64_t>(
          0, std::chrono::ceil<std::chrono::milliseconds>(*until - Clock::now()).count()));
    ::poll(events.data(), events.size(), wait);
  }

  void reap() {
    int status = 0;
    if (status_ || ::waitpid(child_, &status, WNOHANG) != child_) return;
    status_ = status;
    deadline_.reset();
    drain_until_ = Clock::now() + kDrainFor;
  }

  void stop() {
    if (++stops_ > 1) return escalate();
    std::cerr << "hecate: asking the job to save and stop; once more to stop at once" << std::endl;
    send(SIGUSR1);
    deadline_ = Clock::now() + patience_;
  }

  void escalate() {
    send(terminated_ ? SIGKILL : SIGTERM);
    terminated_ = true;
    deadline_ = Clock::now() + kKillAfter;
  }

  void send(int signal) const {
    if (!status_) ::kill(child_, signal);
  }

  std::string program_;
  bool prefix_;
  Clock::duration patience_;
  SignalQueue signals_;
  std::array<Stream, 2> streams_;
  pid_t child_ = -1;
  std::optional<int> status_;
  int stops_ = 0;
  bool terminated_ = false;
  std::optional<Clock::time_point> deadline_, drain_until_;
};

}  // namespace

int run_job(const Job& job, const RunnerOptions& options) {
  return Runner(job, options).run();
}

}  // namespace hecate::launch
