#pragma once
#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>

/// What a waiting person sees: on a terminal one line that is rewritten, elsewhere a plain line now
/// and then.
namespace hecate::launcher {

/// Whether the file descriptor is a terminal that understands rewriting (TERM is not "dumb").
bool is_terminal(int descriptor);

/// 59 -> "59s", 61 -> "1m01s", 3700 -> "1h01m", 100000 -> "27h46m".
std::string duration_text(double seconds);

class StatusLine {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// @param out outlives the object. @param plain_seconds between lines where it is no terminal;
  ///   a terminal is rewritten at most ten times a second.
  StatusLine(std::ostream& out, bool terminal, double plain_seconds);
  /// Ends a rewritten line, so that what follows starts on its own.
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  /// Shows `text` if enough time has passed since the last one, or if it is `important`.
  void show(const std::string& text, Time now, bool important = false);
  bool due(Time now) const;

 private:
  std::ostream* out_;
  bool terminal_;
  std::chrono::duration<double> interval_;
  Time last_{};
  bool shown_ = false;
};

/// A training run's status: `step 120/1200  loss 3.2145  8123 tok/s  ETA 2m10s`.
class ProgressLine {
 public:
  using Time = StatusLine::Time;

  /// @param first_step steps that were done before (a resumed run). @param total steps in the run.
  ProgressLine(std::ostream& out, bool terminal, double plain_seconds, int64_t first_step,
               int64_t total, Time now);

  /// After `step` steps, the last with this loss and token rate; the last step is always shown.
  void update(int64_t step, double loss, double tokens_per_s, Time now);

 private:
  StatusLine line_;
  int64_t step_, total_;
  Time last_;
  double step_seconds_ = 0;  // smoothed
};

}  // namespace hecate::launcher
