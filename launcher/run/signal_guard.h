#pragma once

namespace hecate::launcher {

/// While it lives, the first SIGINT, SIGTERM or SIGUSR1 (what `hecate launch` and batch systems
/// send) only raises a flag, so that the program can finish its step and save. A second one ends
/// the process at once with code 130; when the deadline passes first, the process ends with code
/// 124. Both leave files as a crash would. At most one at a time.
class SignalGuard {
 public:
  /// @param deadline_seconds counted from the first signal, rounded up to whole seconds.
  /// @param speak says on standard error what it does; of several ranks the first speaks.
  explicit SignalGuard(double deadline_seconds, bool speak = true);
  /// Restores the handlers from before and lifts the deadline.
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

  /// Whether to stop.
  bool requested() const { return signal() != 0; }
  /// The first signal that came; 0: none.
  int signal() const;
};

}  // namespace hecate::launcher
