#include "tests/launcher/commands/mpi_job.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "launcher/checkpoint/directory.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr const char* kProgram = HECATE_BINARY_DIR "/hecate";

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of a process that may be gone meanwhile.
std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

MpiJobTest::MpiJobTest() {
  for (const char* name : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                           "OMPI_MCA_rmaps_base_oversubscribe", "OMPI_MCA_mpi_yield_when_idle"})
    setenv(name, "1", 1);
  unsetenv("SLURM_JOB_ID");
}

MpiJobTest::~MpiJobTest() {
  for (const pid_t left : processes()) kill(left, SIGKILL);
  if (child_ > 0) waitpid(child_, nullptr, 0);
}

std::string MpiJobTest::config(const std::string& name,
                               const std::vector<std::string>& overrides) const {
  std::vector<std::string> all = {
      "train.global_batch=12",  "train.micro_batch=0",    "device.threads=1",
      "schedule.kind=constant", "fssdp.overlap_degree=2", "fssdp.memory_capacity=2",
      "fssdp.reshard_every=3",  "train.eval_batches=1",   "train.deadline_seconds=20"};
  all.insert(all.end(), overrides.begin(), overrides.end());
  const fs::path written = tiny_.config_file(all);
  fs::rename(written, tiny_.root() / name);
  return at(name);
}

std::string MpiJobTest::mpirun(int ranks, const std::string& arguments,
                               const std::string& options) {
  return concat("mpirun ", options, " -np ", ranks, ' ', kProgram, ' ', arguments);
}

std::string MpiJobTest::launch(int ranks, const std::string& arguments,
                               const std::string& options) {
  return concat(kProgram, " launch --oversubscribe ", options, " -n ", ranks, " -- ", arguments);
}

std::string MpiJobTest::program(const std::string& arguments) {
  return concat(kProgram, ' ', arguments);
}

void MpiJobTest::start(const std::string& line) {
  started_at_ = now();
  const std::string script =
      concat("cd ", tiny_.root().string(), "; exec ", line, " >out 2>err </dev/null");
  child_ = fork();
  if (child_ != 0) return;
  execl("/bin/sh", "sh", "-c", script.c_str(), nullptr);
  _exit(127);
}

MpiJobTest::Outcome MpiJobTest::finish(double seconds) {
  int status = 0;
  while (waitpid(child_, &status, WNOHANG) == 0) {
    if (now() - started_at_ > seconds) {
      ADD_FAILURE() << "no end after " << now() - started_at_ << " s:\n" << err();
      for (const pid_t left : processes()) kill(left, SIGKILL);
      waitpid(child_, &status, 0);
      break;
    }
    std::this_thread::sleep_for(5ms);
  }
  child_ = -1;
  return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          .seconds = now() - started_at_,
          .out = io::read_file(at("out")),
          .err = err()};
}

MpiJobTest::Outcome MpiJobTest::run(const std::string& line) {
  start(line);
  return finish();
}

std::string MpiJobTest::err() const {
  return text_of(at("err"));
}

void MpiJobTest::wait_for_steps(const std::string& run, int64_t steps) const {
  const double begin = now();
  while (now() - begin < 60) {
    const std::string text = text_of(at(run) + "/steps.jsonl");
    if (std::count(text.begin(), text.end(), '\n') >= steps) return;
    std::this_thread::sleep_for(2ms);
  }
  FAIL() << "no step " << steps << " after a minute:\n" << err();
}

pid_t MpiJobTest::process_of(int rank) const {
  const std::string mark = concat('\0', "OMPI_COMM_WORLD_RANK=", rank, '\0');
  for (const pid_t process : processes())
    if (text_of(concat("/proc/", process, "/environ")).find(mark) != std::string::npos)
      return process;
  ADD_FAILURE() << "rank " << rank << " is not there:\n" << err();
  return -1;
}

bool MpiJobTest::all_gone() const {
  for (int i = 0; i < 100 && !processes().empty(); ++i) std::this_thread::sleep_for(50ms);
  return processes().empty();
}

std::vector<pid_t> MpiJobTest::processes() const {
  std::vector<pid_t> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const pid_t process = std::atoi(entry.path().filename().c_str());
    if (process > 0 && process != child_ &&
        text_of(entry.path() / "cmdline").find(tiny_.root().string()) != std::string::npos)
      found.push_back(process);
  }
  return found;
}

std::vector<std::string> MpiJobTest::losses(const std::string& run) const {
  return losses_in(at(run) + "/steps.jsonl");
}

std::vector<std::string> MpiJobTest::checkpoints(const std::string& run) const {
  std::vector<std::string> names;
  for (const auto& entry : checkpoint::list_checkpoints(at(run) + "/checkpoints"))
    names.push_back(entry.path.filename().string());
  return names;
}

bool MpiJobTest::exists(const std::string& name) const {
  return fs::exists(at(name));
}

size_t occurrences(const std::string& text, const std::string& word) {
  size_t count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

void expect_near(const std::vector<std::string>& found, const std::vector<std::string>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const double loss = std::stod(expected[i]);
    EXPECT_NEAR(std::stod(found[i]), loss, 1e-4 * loss) << "step " << i + 1;
  }
}

}  // namespace hecate::launcher
