#include <unistd.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>

#include "launcher/commands/commands.h"
#include "launcher/run/progress_line.h"
#include "launcher/top/source.h"
#include "launcher/top/terminal.h"
#include "monitoring/top/top_view.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

struct Options {
  std::vector<std::string> sources;
  double interval = 1;
  bool once = false;
};

std::vector<std::string> frame_of(const monitoring::TopState& state, const TopSource& source,
                                  const std::string& note) {
  const TerminalSize size = terminal_size();
  return monitoring::top_frame(
      state, source.name(), note,
      {.width = size.width, .height = size.height, .colour = wants_colour()});
}

void print(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) std::cout << line << '\n';
  std::cout << std::flush;
}

// A source that fails now may answer later: the run has not begun, or its machine is slow.
std::string poll_kindly(TopSource& source, monitoring::TopState& state) {
  try {
    return source.poll(state);
  } catch (const CommError& error) {
    return error.what();
  } catch (const IoError& error) {
    return error.what();
  }
}

// Frame after frame for a pipe or a file, until the run is at its end.
void print_on(TopSource& source, double interval) {
  monitoring::TopState state;
  do {
    print(frame_of(state, source, poll_kindly(source, state)));
    if (state.step >= state.total_steps || !std::cout) return;
    std::cout << '\n';
    std::this_thread::sleep_for(std::chrono::duration<double>(interval));
  } while (true);
}

void show_on(TopSource& source, double interval) {
  Terminal terminal;
  monitoring::TopState state;
  std::string note = poll_kindly(source, state);
  auto event = Terminal::Event::resized;
  do {
    if (event == Terminal::Event::time_is_up) note = poll_kindly(source, state);
    terminal.show(frame_of(state, source, note));
    event = terminal.wait(interval);
  } while (event != Terminal::Event::quit);
}

int run(const Options& options) {
  HECATE_CHECK(options.interval >= 0.1 && options.interval <= 3600, "top: --interval ",
               options.interval, ": expected 0.1 to 3600 seconds");
  const std::unique_ptr<TopSource> source = open_top_source(options.sources);
  if (options.once) {
    monitoring::TopState state;
    const std::string note = source->poll(state);
    print(frame_of(state, *source, note));
  } else if (is_terminal(STDOUT_FILENO)) {
    show_on(*source, options.interval);
  } else {
    print_on(*source, options.interval);
  }
  return 0;
}

}  // namespace

void add_top_command(Command root) {
  Command command = root.command("top", "Watch a run: loss, speed, slowest rank, load per layer");
  const auto options = std::make_shared<Options>();
  command.arguments("RUN_DIR|HOST:PORT", options->sources,
                    "a run directory, or where the run's ranks serve their metrics");
  command.option("--interval", options->interval, "SECONDS", "between looks");
  command.flag("--once", options->once, "prints one frame and ends");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
