#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "launcher/run/run_directory.h"
#include "runtime/base/error.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launcher {
namespace {

using hecate::testing::ScratchDirectory;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kProgram = std::string(HECATE_BINARY_DIR) + "/hecate";

class TopProgramTest : public ::testing::Test {
 protected:
  TopProgramTest() : run_(RunDirectory::create(scratch_ / "run", "[train]\nsteps = 9\n")) {
    write(
        "{\"step\":3,\"loss\":2.5,\"tokens_per_s\":77,\"step_seconds\":0.5,"
        "\"load\":{\"0\":{\"max_over_mean\":4}}}\n");
  }
  void write(const std::string& line) const { std::ofstream(run_.steps(), std::ios::app) << line; }

  struct Outcome {
    int code = 0;
    std::string text;
  };
  // Both outputs together.
  static Outcome output_of(const std::string& arguments, const std::string& environment = "") {
    const std::string line = concat(environment, " '", kProgram, "' top ", arguments, " 2>&1");
    FILE* pipe = ::popen(line.c_str(), "r");
    Outcome outcome;
    std::array<char, 4096> part{};
    for (size_t count = 0; (count = std::fread(part.data(), 1, part.size(), pipe)) > 0;)
      outcome.text.append(part.data(), count);
    outcome.code = WEXITSTATUS(::pclose(pipe));
    return outcome;
  }

  ScratchDirectory scratch_;
  RunDirectory run_;
};

TEST_F(TopProgramTest, OncePrintsOnePlainFrame) {
  const Outcome outcome =
      output_of(concat("--once '", run_.path().string(), "'"), "COLUMNS=60 LINES=12");
  EXPECT_EQ(outcome.code, 0) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("step 3 of 9"));
  EXPECT_THAT(outcome.text, HasSubstr("2.5000"));
  EXPECT_THAT(outcome.text, HasSubstr("4.00"));
  EXPECT_THAT(outcome.text, Not(HasSubstr("\x1b")));
}

TEST_F(TopProgramTest, WrongUseIsAnErrorThatSaysWhatIsRight) {
  const Outcome nothing = output_of("--once nowhere");
  EXPECT_EQ(nothing.code, 2);
  EXPECT_THAT(nothing.text, HasSubstr("no run directory and no HOST:PORT such as"));
  const Outcome silent = output_of("--once 127.0.0.1:1");
  EXPECT_EQ(silent.code, 1);
  EXPECT_THAT(silent.text, HasSubstr("127.0.0.1:1: no answer"));
  EXPECT_EQ(output_of(concat("--interval 0 '", run_.path().string(), "'")).code, 2);
}

TEST_F(TopProgramTest, APipeGetsFramesUntilTheRunHasFinished) {
  write("{\"step\":9,\"loss\":2}\n");
  const Outcome outcome = output_of(concat("'", run_.path().string(), "'"));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.text, HasSubstr("step 9 of 9"));
}

// The program on a terminal of its own.
class TopTerminalTest : public TopProgramTest {
 protected:
  void start(bool colour) {
    terminal_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ASSERT_GE(terminal_, 0);
    ASSERT_EQ(::grantpt(terminal_) | ::unlockpt(terminal_), 0);
    const std::string name = ::ptsname(terminal_);
    // Held open here, so that its settings can be looked at when the program is gone.
    other_end_ = ::open(name.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    resize(100, 30);
    ASSERT_EQ(::tcgetattr(other_end_, &before_), 0);
    child_ = ::fork();
    if (child_ == 0) {
      ::setsid();
      const int end = ::open(name.c_str(), O_RDWR);
      ::ioctl(end, TIOCSCTTY, 0);
      for (const int descriptor : {0, 1, 2}) ::dup2(end, descriptor);
      ::setenv("TERM", "xterm", 1);
      colour ? ::unsetenv("NO_COLOR") : ::setenv("NO_COLOR", "1", 1);
      ::execl(kProgram.c_str(), "hecate", "top", "--interval", "0.2", run_.path().c_str(), nullptr);
      ::_exit(127);
    }
  }
  ~TopTerminalTest() override {
    if (child_ > 0) ::kill(child_, SIGKILL), ::waitpid(child_, nullptr, 0);
    if (terminal_ >= 0) ::close(terminal_), ::close(other_end_);
  }

  void resize(unsigned short columns, unsigned short rows) const {
    winsize size{};
    size.ws_col = columns;
    size.ws_row = rows;
    ::ioctl(terminal_, TIOCSWINSZ, &size);
  }
  void type(char key) const { EXPECT_EQ(::write(terminal_, &key, 1), 1); }

  // Reads until `text` has come, from what came after the last call.
  std::string read_until(const std::string& text) {
    std::string seen;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (seen.find(text) == std::string::npos && std::chrono::steady_clock::now() < deadline) {
      pollfd input{.fd = terminal_, .events = POLLIN, .revents = 0};
      if (::poll(&input, 1, 100) <= 0) continue;
      std::array<char, 4096> part{};
      const ssize_t count = ::read(terminal_, part.data(), part.size());
      if (count <= 0) break;
      seen.append(part.data(), static_cast<size_t>(count));
    }
    EXPECT_THAT(seen, HasSubstr(text));
    return seen;
  }
  int exit_code() {
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  void expect_restored() {
    read_until("\x1b[?25h\x1b[?1049l");
    EXPECT_EQ(exit_code(), 0);
    termios after{};
    ASSERT_EQ(::tcgetattr(other_end_, &after), 0);
    EXPECT_EQ(after.c_lflag, before_.c_lflag);
    EXPECT_EQ(after.c_cc[VSUSP], before_.c_cc[VSUSP]);
  }

  pid_t child_ = -1;
  int terminal_ = -1, other_end_ = -1;
  termios before_{};
};

TEST_F(TopTerminalTest, FollowsTheRunAndTheSizeAndLeavesTheTerminalAsItWas) {
  start(true);
  const std::string first = read_until("step \x1b[1m3\x1b[0m of 9");
  EXPECT_THAT(first, HasSubstr("\x1b[?1049h"));
  EXPECT_THAT(first, Not(HasSubstr("\x1b[?1049l")));
  write("{\"step\":4,\"loss\":2.25}\n");
  read_until("2.2500");
  resize(30, 4);
  const std::string small = read_until("\x1b[J");
  read_until("step \x1b[1m4");
  type('\x03');
  expect_restored();
}

TEST_F(TopTerminalTest, NoColorIsKeptToAndQLeaves) {
  start(false);
  const std::string first = read_until("step 3 of 9");
  EXPECT_THAT(first, Not(HasSubstr("\x1b[1m")));
  type('q');
  expect_restored();
}

}  // namespace
}  // namespace hecate::launcher
