#include "tests/launcher/pbt/population_job.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Json = nlohmann::json;

constexpr const char* kProgram = HECATE_BINARY_DIR "/hecate";
constexpr const char* kSearch = R"(
[[pbt.search]]
key = "schedule.rate"
min = 1e-3
max = 3e-2
[[pbt.search]]
key = "router.balance_loss"
kind = "uniform"
max = 0.1
)";

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<Json> rows_of(const fs::path& file) {
  std::vector<Json> rows;
  std::istringstream lines(text_of(file));
  for (std::string line; std::getline(lines, line);) {
    Json row = Json::parse(line, nullptr, false);
    if (row.is_object()) rows.push_back(std::move(row));
  }
  return rows;
}

// step -> loss as it is written.
std::map<int64_t, std::string> losses_by_step(const fs::path& steps) {
  std::map<int64_t, std::string> losses;
  for (const Json& row : rows_of(steps))
    if (row.contains("loss")) losses[row["step"].get<int64_t>()] = row["loss"].dump();
  return losses;
}

}  // namespace

PopulationJobTest::PopulationJobTest() {
  for (const char* name : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                           "OMPI_MCA_rmaps_base_oversubscribe", "OMPI_MCA_mpi_yield_when_idle"})
    setenv(name, "1", 1);
  unsetenv("HECATE_PBT_TOKEN");
}

PopulationJobTest::~PopulationJobTest() {
  for (const pid_t child : started_) kill(-child, SIGKILL);
  for (const auto& entry : fs::directory_iterator(tiny_.root()))
    for (const pid_t worker : workers(entry.path().filename().string())) kill(worker, SIGKILL);
  for (const pid_t child : started_) waitpid(child, nullptr, 0);
}

std::string PopulationJobTest::config(const std::string& name,
                                      const std::vector<std::string>& overrides,
                                      const std::string& search) const {
  std::vector<std::string> all = {"device.threads=1",      "train.eval_batches=2",
                                  "pbt.members=4",         "pbt.slots=2",
                                  "pbt.interval=3",        "pbt.heartbeat_seconds=0.1",
                                  "pbt.timeout_seconds=2", "pbt.reconnect_seconds=3"};
  all.insert(all.end(), overrides.begin(), overrides.end());
  std::string text = text_of(tiny_.config_file(all));
  const std::string none = "search = []\n";
  text.erase(text.find(none), none.size());
  std::ofstream(at(name)) << text << (search.empty() ? kSearch : search);
  return at(name);
}

pid_t PopulationJobTest::start(const std::string& line, const std::string& log) {
  std::string words = line;
  for (size_t found = words.find("%H"); found != std::string::npos; found = words.find("%H"))
    words.replace(found, 2, kProgram);
  const std::string script =
      concat("cd ", tiny_.root().string(), "; exec ", words, " >>", log, " 2>&1 </dev/null");
  const pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    execl("/bin/sh", "sh", "-c", script.c_str(), nullptr);
    _exit(127);
  }
  setpgid(child, child);
  started_.push_back(child);
  return child;
}

PopulationJobTest::Outcome PopulationJobTest::wait(pid_t child, double seconds,
                                                   const std::string& log) {
  const double begin = now();
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (now() - begin > seconds) {
      ADD_FAILURE() << "no end after " << seconds << " s:\n" << text_of(at(log));
      kill(-child, SIGKILL);
      waitpid(child, &status, 0);
      break;
    }
    std::this_thread::sleep_for(10ms);
  }
  std::erase(started_, child);
  return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          .out = text_of(at(log))};
}

PopulationJobTest::Outcome PopulationJobTest::run(const std::string& line, double seconds) {
  return wait(start(line), seconds);
}

size_t PopulationJobTest::events(const std::string& run, const std::string& event) const {
  const std::vector<Json> rows = rows_of(at(run) + "/journal.jsonl");
  return static_cast<size_t>(std::ranges::count_if(
      rows, [&](const Json& row) { return row.value("event", "") == event; }));
}

void PopulationJobTest::wait_for(const std::string& run, const std::string& event,
                                 size_t count) const {
  for (const double begin = now(); now() - begin < 30; std::this_thread::sleep_for(5ms))
    if (events(run, event) >= count) return;
  FAIL() << "no " << count << " events " << event << ":\n" << text_of(at("out"));
}

std::string PopulationJobTest::address(const std::string& run) const {
  std::string text;
  for (const double begin = now(); now() - begin < 20 && !text.ends_with('\n');
       std::this_thread::sleep_for(5ms))
    text = text_of(at(run) + "/address");
  return text.substr(0, text.find('\n'));
}

std::vector<pid_t> PopulationJobTest::workers(const std::string& run) const {
  const std::string file = text_of(at(run) + "/address");
  if (file.empty()) return {};
  const std::string port = file.substr(file.find(':'), file.find('\n') - file.find(':'));
  std::vector<pid_t> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const pid_t process = std::atoi(entry.path().filename().c_str());
    const std::string line = process > 0 ? text_of(entry.path() / "cmdline") : "";
    if (line.find("hecate") != std::string::npos &&
        line.find("--pbt" + std::string(1, '\0')) != std::string::npos &&
        line.find(port + std::string(1, '\0')) != std::string::npos)
      found.push_back(process);
  }
  return found;
}

void PopulationJobTest::expect_complete(const std::string& run, bool exact) {
  for (const char* file : {"best/config.toml", "lineage.svg", "schedules.svg", "pbt.jsonl"})
    EXPECT_TRUE(fs::exists(at(run) + "/" + file)) << file;
  std::set<int64_t> reported;
  std::map<int, int64_t> last_step;
  for (const Json& row : rows_of(at(run) + "/journal.jsonl")) {
    if (row.value("event", "") != "report") continue;
    EXPECT_TRUE(reported.insert(row["lease"].get<int64_t>()).second) << row;
    last_step[row["member"].get<int>()] = row["step"].get<int64_t>();
  }
  for (const auto& [member, step] : last_step) EXPECT_EQ(step, 12) << "member " << member;
  const std::vector<Json> rows = rows_of(at(run) + "/pbt.jsonl");
  ASSERT_FALSE(rows.empty());
  ASSERT_EQ(rows.back()["event"], "best");
  const int best = rows.back()["member"].get<int>();

  const Outcome replay = this->run(concat("%H train ", at(run), "/config.toml --replay ", at(run),
                                          "/pbt.jsonl --run ", at(run), "-replay"));
  ASSERT_EQ(replay.code, 0) << replay.out;
  if (!exact) return;
  const auto replayed = losses_by_step(at(run) + "-replay/steps.jsonl");
  EXPECT_EQ(replayed.size(), 12u);
  size_t compared = 0;
  for (int incarnation = 0; incarnation < 100; ++incarnation) {
    const fs::path steps = concat(at(run), "/members/0", best, ".", incarnation, "/steps.jsonl");
    const fs::path next = concat(at(run), "/members/0", best, ".", incarnation + 1);
    if (!fs::exists(steps) || fs::exists(next)) continue;
    for (const auto& [step, loss] : losses_by_step(steps)) {
      EXPECT_EQ(replayed.at(step), loss) << "step " << step << " of member " << best;
      ++compared;
    }
  }
  EXPECT_GE(compared, 3u);
}

}  // namespace hecate::launcher
