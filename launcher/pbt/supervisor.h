#pragma once
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace hecate::launcher {

/// The worker processes of one machine: starts one per slot, again when it ends. They are in
/// process groups of their own and outlive this process: a controller that was killed finds them
/// again.
class Supervisor {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Slot {
    std::string name;
    std::vector<std::string> argv;  ///< looked up in PATH
    std::filesystem::path log;      ///< output is appended here
  };

  /// @param not_before when the first may be started.
  Supervisor(std::vector<Slot> slots, Time not_before);

  /// Starts what does not run, unless `alive` says that it runs elsewhere; a slot whose process
  /// ends at once again and again is an error.
  /// @throws IoError with the end of its log; when a process cannot be started.
  void tend(Time now, const std::function<bool(const std::string&)>& alive);
  /// Starts nothing any more.
  void close() { closed_ = true; }
  /// To every process group that runs.
  void send(int signal) const;
  /// Collects what ended. @return how many run.
  size_t running();

 private:
  struct State {
    Slot slot;
    pid_t child = -1;
    Time started, next;
    int quick_ends = 0;
  };

  void start(State& state, Time now) const;
  bool collect(State& state, Time now) const;

  std::vector<State> states_;
  bool closed_ = false;
};

}  // namespace hecate::launcher
