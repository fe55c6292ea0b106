#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "tests/launcher/train/tiny_run.h"

namespace hecate::launcher {
namespace {

const char* kProgram = HECATE_BINARY_DIR "/hecate";

pid_t start(const std::vector<std::string>& arguments) {
  const pid_t child = fork();
  if (child != 0) return child;
  const int null = open("/dev/null", O_WRONLY);
  dup2(null, STDOUT_FILENO);
  dup2(null, STDERR_FILENO);
  std::vector<char*> argv = {const_cast<char*>(kProgram)};
  for (const std::string& each : arguments) argv.push_back(const_cast<char*>(each.c_str()));
  argv.push_back(nullptr);
  execv(kProgram, argv.data());
  _exit(127);
}

int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

// A checkpoint every step keeps the writer busy, so that kills land inside writes too.
TEST(Killed, AtRandomMomentsTheRunEndsWithTheSameLosses) {
  const TinyRun run;
  const std::string config = run.config_file({"train.steps=120", "checkpoint.every=1"}).string();
  const std::string whole = (run.root() / "whole").string(), torn = (run.root() / "torn").string();
  ASSERT_EQ(wait_for(start({"train", config, "--run", whole})), 0);
  std::mt19937 random(3);
  int kills = 0;
  for (int attempt = 0; attempt < 60; ++attempt) {
    const bool fresh = !std::filesystem::exists(torn + "/config.toml");
    if (fresh) std::filesystem::remove_all(torn);
    const pid_t child = fresh ? start({"train", config, "--run", torn})
                              : start({"train", "--run", torn, "--resume"});
    std::this_thread::sleep_for(std::chrono::milliseconds(30 + random() % 200));
    kill(child, SIGKILL);
    const int status = wait_for(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
    ++kills;
  }
  EXPECT_GE(kills, 2);
  const pid_t last = start({"train", "--run", torn, "--resume"});
  ASSERT_EQ(wait_for(last), 0);
  EXPECT_EQ(losses_in(torn + "/steps.jsonl"), losses_in(whole + "/steps.jsonl"));
}

}  // namespace
}  // namespace hecate::launcher
