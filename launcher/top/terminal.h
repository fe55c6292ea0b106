#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace hecate::launcher {

/// The whole terminal, taken with a screen of its own and given back as it was by the destructor,
/// after Ctrl-C and SIGTERM as well. At most one at a time; no threads that want these signals.
class Terminal {
 public:
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// Draws over what was there.
  void show(const std::vector<std::string>& lines);
  enum class Event : uint8_t { time_is_up, resized, quit };
  /// Until `seconds` have passed, the size has changed, or the user wants to leave: q, Ctrl-C, or a
  /// signal to end.
  Event wait(double seconds);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct TerminalSize {
  int width = 80, height = 24;
};
/// Of standard output; where that is none, what COLUMNS and LINES say, else 80 x 24.
TerminalSize terminal_size();

/// Whether standard output is a terminal and NO_COLOR is not set (https://no-color.org).
bool wants_colour();

}  // namespace hecate::launcher
