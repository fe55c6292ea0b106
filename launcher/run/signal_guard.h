#pragma once
#include <optional>
#include <string_view>
#include <vector>

namespace hecate::launcher {

/// While it lives, the first SIGINT, SIGTERM or SIGUSR1 (what `hecate launch` and batch systems
/// send) only raises a flag, so that the program can finish its step and save. A second one ends
/// the process at once with code 130; when the deadline passes first, the process ends with code
/// 124. Both leave files as a crash would. At most one at a time.
class SignalGuard {
 public:
  /// @param deadline_seconds counted from the first signal, rounded up to whole seconds.
  /// @param speakers_before processes of this machine that say on standard error what happens, in
  ///   this one's place while one of them lives: of several ranks the first speaks, and another one
  ///   where that is gone. Nothing: this one never speaks. At most 64 are remembered.
  explicit SignalGuard(double deadline_seconds,
                       const std::optional<std::vector<int>>& speakers_before = std::vector<int>());
  /// Restores the handlers from before and lifts the deadline.
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

  /// What else the first signal's message says, such as where the run can be continued.
  void set_note(std::string_view note);
  /// Whether to stop.
  bool requested() const { return signal() != 0; }
  /// The first signal that came; 0: none.
  int signal() const;
};

}  // namespace hecate::launcher
