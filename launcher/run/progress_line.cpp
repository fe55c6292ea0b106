#include "launcher/run/progress_line.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iomanip>
#include <ostream>
#include <sstream>
#include <string_view>

namespace hecate::launcher {
namespace {

constexpr double kTerminalSeconds = 0.1;
// Weight of the newest step in the smoothed step time once enough of them were seen.
constexpr double kSmoothing = 0.05;
constexpr const char* kClear = "\r\x1b[K";

}  // namespace

bool is_terminal(int descriptor) {
  const char* term = std::getenv("TERM");
  return ::isatty(descriptor) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  std::ostringstream out;
  out << std::setfill('0');
  if (whole < 60)
    out << whole << "s";
  else if (whole < 3600)
    out << whole / 60 << "m" << std::setw(2) << whole % 60 << "s";
  else
    out << whole / 3600 << "h" << std::setw(2) << whole / 60 % 60 << "m";
  return out.str();
}

StatusLine::StatusLine(std::ostream& out, bool terminal, double plain_seconds)
    : out_(&out), terminal_(terminal), interval_(terminal ? kTerminalSeconds : plain_seconds) {}

StatusLine::~StatusLine() {
  if (terminal_ && shown_) *out_ << std::endl;
}

bool StatusLine::due(Time now) const {
  return !shown_ || now - last_ >= interval_;
}

void StatusLine::show(const std::string& text, Time now, bool important) {
  if (!important && !due(now)) return;
  if (terminal_)
    *out_ << kClear << text << std::flush;
  else
    *out_ << text << std::endl;
  last_ = now;
  shown_ = true;
}

ProgressLine::ProgressLine(std::ostream& out, bool terminal, double plain_seconds,
                           int64_t first_step, int64_t total, Time now)
    : line_(out, terminal, plain_seconds), step_(first_step), total_(total), last_(now) {}

void ProgressLine::update(int64_t step, double loss, double tokens_per_s, Time now) {
  const auto steps = static_cast<double>(std::max<int64_t>(1, step - step_));
  const double seconds = std::chrono::duration<double>(now - last_).count() / steps;
  step_seconds_ =
      step_seconds_ == 0 ? seconds : step_seconds_ + kSmoothing * (seconds - step_seconds_);
  step_ = step;
  last_ = now;
  const bool last = step >= total_;
  if (!last && !line_.due(now)) return;
  std::ostringstream text;
  text << "step " << step << "/" << total_ << "  loss " << std::fixed << std::setprecision(4)
       << loss << "  " << std::setprecision(0) << tokens_per_s << " tok/s";
  if (!last) text << "  ETA " << duration_text(step_seconds_ * static_cast<double>(total_ - step));
  line_.show(text.str(), now, last);
}

}  // namespace hecate::launcher
