#include "launcher/top/terminal.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>

#include "launcher/run/progress_line.h"

namespace hecate::launcher {
namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";  // another screen, no cursor
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H", kEndOfLine = "\x1b[K", kEndOfScreen = "\x1b[J";

void write_out(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // nobody looks any more
    text.remove_prefix(static_cast<size_t>(count));
  }
}

std::optional<int> number_in(const char* variable) {
  const char* text = std::getenv(variable);
  const int value = text == nullptr ? 0 : std::atoi(text);
  return value > 0 ? std::optional(value) : std::nullopt;
}

}  // namespace

struct Terminal::State {
  sigset_t signals{}, previous{};
  int descriptor = -1;  // where the signals arrive
  bool keys = false;    // standard input is a terminal
  termios keyboard{};
};

Terminal::Terminal() : state_(std::make_unique<State>()) {
  sigemptyset(&state_->signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) sigaddset(&state_->signals, signal);
  sigprocmask(SIG_BLOCK, &state_->signals, &state_->previous);
  state_->descriptor = ::signalfd(-1, &state_->signals, SFD_CLOEXEC | SFD_NONBLOCK);
  state_->keys = ::tcgetattr(STDIN_FILENO, &state_->keyboard) == 0;
  if (state_->keys) {
    termios raw = state_->keyboard;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VSUSP] = _POSIX_VDISABLE;  // a stopped process would leave its screen behind
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  write_out(kEnter);
}

Terminal::~Terminal() {
  write_out(kLeave);
  if (state_->keys) ::tcsetattr(STDIN_FILENO, TCSANOW, &state_->keyboard);
  if (state_->descriptor >= 0) ::close(state_->descriptor);
  sigprocmask(SIG_SETMASK, &state_->previous, nullptr);
}

void Terminal::show(const std::vector<std::string>& lines) {
  std::string text(kHome);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) text += "\r\n";
    text.append(lines[i]).append(kEndOfLine);
  }
  text += kEndOfScreen;
  write_out(text);
}

Terminal::Event Terminal::wait(double seconds) {
  std::array<pollfd, 2> inputs = {
      {{.fd = state_->descriptor, .events = POLLIN, .revents = 0},
       {.fd = state_->keys ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}}};
  if (::poll(inputs.data(), inputs.size(), static_cast<int>(std::ceil(seconds * 1e3))) <= 0)
    return Event::time_is_up;
  if (inputs[0].revents != 0) {
    signalfd_siginfo info{};
    Event event = Event::time_is_up;
    while (::read(state_->descriptor, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGWINCH) return Event::quit;
      event = Event::resized;
    }
    return event;
  }
  char key = 0;
  // The end of the input is one, too: the terminal is gone.
  if (::read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q') return Event::quit;
  return Event::resized;  // any other key: draw at once
}

TerminalSize terminal_size() {
  TerminalSize size;
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0)
    return {.width = window.ws_col, .height = window.ws_row};
  size.width = number_in("COLUMNS").value_or(size.width);
  size.height = number_in("LINES").value_or(size.height);
  return size;
}

bool wants_colour() {
  const char* refused = std::getenv("NO_COLOR");
  return is_terminal(STDOUT_FILENO) && (refused == nullptr || *refused == '\0');
}

}  // namespace hecate::launcher
