#include "launcher/pbt/run.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <random>

#include "launcher/launch/job.h"
#include "launcher/pbt/member_files.h"
#include "launcher/pbt/pictures.h"
#include "launcher/pbt/population_log.h"
#include "launcher/pbt/supervisor.h"
#include "launcher/pbt/table.h"
#include "launcher/run/progress_line.h"
#include "launcher/run/run_directory.h"
#include "launcher/run/signal_guard.h"
#include "launcher/train/loaded_model.h"
#include "launcher/version.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "scheduler/pbt/server.h"

extern char** environ;

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr const char* kProbe = ".population";
constexpr std::chrono::seconds kAdopt{3};   // for workers of a controller that was killed
constexpr std::chrono::seconds kLeave{30};  // for workers to end after the population did
constexpr const char* kTunable[] = {"schedule.", "optimizer.", "router."};
constexpr const char* kTunableToo[] = {"train.global_batch", "train.micro_batch", "model.dropout"};
constexpr const char* kNotTunable[] = {"router.source", "router.balance_scope", "optimizer.groups"};

bool tunable(const std::string& key) {
  const auto is = [&](const char* other) { return key == other; };
  if (std::ranges::any_of(kNotTunable, is)) return false;
  return std::ranges::any_of(kTunableToo, is) ||
         std::ranges::any_of(kTunable, [&](const char* begin) { return key.starts_with(begin); });
}

int cores() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

// Workers of one machine share its cores evenly; the number is part of what makes a run repeatable.
RunConfig with_threads(RunConfig config) {
  const int64_t ranks = std::max<int64_t>(1, config.pbt.slots) * config.pbt.ranks;
  if (config.device.threads == 0 && config.pbt.slots > 0)
    config.device.threads = std::max<int64_t>(1, cores() / ranks);
  return config;
}

std::vector<std::string> worker_line(const RunConfig& config, const std::string& address,
                                     const std::string& name) {
  const std::string program = fs::read_symlink("/proc/self/exe").string();
  const std::vector<std::string> words = {"train", "--pbt", address, "--pbt-name", name};
  if (config.pbt.ranks == 1) {
    std::vector<std::string> line = {program};
    line.insert(line.end(), words.begin(), words.end());
    return line;
  }
  launch::Request request;
  request.ranks = config.pbt.ranks;
  request.oversubscribe = true;
  request.bind = "none";
  request.prefix = false;
  request.program = words;
  launch::Machine machine;
  machine.hecate = program;
  machine.cores = cores();
  machine.root = ::geteuid() == 0;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view text = *each;
    machine.variables.emplace_back(text.substr(0, text.find('=')));
  }
  return launch::compose(request, machine).argv;
}

class PopulationRun {
 public:
  explicit PopulationRun(const PopulationOptions& options)
      : options_(options),
        config_(with_threads(options.config)),
        directory_(open(options, config_)),
        store_(directory_.path(), config_) {
    write_probe();
    coordinator_.emplace(coordinator_options(), Clock::now());
    server_.emplace(*coordinator_, listen_address(), options.token);
    io::write_file(directory_.path() / "address", address() + "\n");
    log_.emplace(directory_.path() / "pbt.jsonl", population().space(), coordinator_->events());
  }

  int run() {
    start_workers();
    SignalGuard signals(config_.train.deadline_seconds);
    signals.set_note("the members are saved; continue with --resume");
    try {
      while (!population().finished() && !signals.requested()) serve();
    } catch (...) {  // what is on disk can be resumed; nobody is left to save more for
      supervisor_->send(SIGKILL);
      throw;
    }
    leave(signals.requested());
    if (!population().finished()) {
      std::cout << "stopped; continue with: hecate pbt --run " << directory_.path().string()
                << " --resume\n";
      return 0;
    }
    return finish();
  }

 private:
  static RunDirectory open(const PopulationOptions& options, const RunConfig& config) {
    if (options.resume) return RunDirectory::open(options.run);
    RunDirectory directory = RunDirectory::create(options.run, config::to_toml(config));
    fs::create_directories(directory.path() / "members");
    fs::create_directories(directory.path() / "workers");
    keep_tokenizer(config.data, directory.path());
    return directory;
  }

  const population::Population& population() const { return coordinator_->population(); }

  void write_probe() {
    const fs::path path = directory_.path() / kProbe;
    if (!fs::exists(path)) {
      std::random_device random;
      io::write_file(path, concat(random(), random(), random()));
    }
    probe_ = io::read_file(path);
  }

  pbt::CoordinatorOptions coordinator_options() {
    return {.population = config_.pbt,
            .steps = config_.train.steps,
            .seed = static_cast<uint64_t>(config_.seed),
            .journal = directory_.path() / "journal.jsonl",
            .version = version_number(),
            .token = options_.token,
            .configuration = config::to_toml(config_),
            .directory = fs::absolute(directory_.path()).string(),
            .probe_name = kProbe,
            .probe = probe_,
            .store = &store_};
  }

  // Workers of a controller that was killed look for it where it was.
  pbt::Address listen_address() const {
    const fs::path known = directory_.path() / "address";
    if (options_.resume && options_.listen.empty() && fs::exists(known)) {
      const std::string text = io::read_file(known);
      return pbt::parse_address(text.substr(0, text.find('\n')));
    }
    return pbt::parse_address(options_.listen.empty() ? "127.0.0.1:0" : options_.listen);
  }

  std::string address() const { return concat(listen_address().host, ":", server_->port()); }

  void start_workers() {
    std::vector<Supervisor::Slot> slots;
    for (int64_t i = 0; i < config_.pbt.slots; ++i) {
      const std::string name = concat("slot-", i);
      slots.push_back({.name = name,
                       .argv = worker_line(config_, concat("127.0.0.1:", server_->port()), name),
                       .log = directory_.path() / "workers" / (name + ".log")});
    }
    const bool orphans =
        options_.resume &&
        std::ranges::any_of(population().members(), [](auto& m) { return m.lease.has_value(); });
    supervisor_.emplace(std::move(slots), Clock::now() + (orphans ? kAdopt : 0s));
    std::cerr << "population in " << directory_.path().string() << "; workers join with: hecate "
              << "train --pbt " << address() << std::endl;
  }

  void serve() {
    server_->run_for(100ms);
    log_->update(coordinator_->events());
    supervisor_->tend(Clock::now(),
                      [&](const std::string& name) { return coordinator_->connected(name); });
    show(false);
  }

  // On a terminal the table is rewritten, elsewhere printed now and then.
  void show(bool last) {
    const bool terminal = is_terminal(STDERR_FILENO);
    const auto interval =
        std::chrono::duration<double>(terminal ? 0.5 : config_.train.progress_seconds);
    const Clock::time_point now = Clock::now();
    if (!last && now - shown_at_ < interval) return;
    shown_at_ = now;
    const std::string table = population_table(population(), coordinator_->live());
    const auto lines = std::count(table.begin(), table.end(), '\n');
    if (terminal && shown_lines_ > 0) std::cerr << "\x1b[" << shown_lines_ << "A\x1b[J";
    std::cerr << table << (terminal ? "" : "\n") << std::flush;
    shown_lines_ = lines;
  }

  // Serves while the workers say goodbye.
  void leave(bool interrupted) {
    supervisor_->close();
    if (interrupted) supervisor_->send(SIGTERM);
    const auto patience = std::chrono::duration<double>(config_.train.deadline_seconds);
    const auto until =
        Clock::now() + (interrupted ? std::chrono::ceil<std::chrono::seconds>(patience) : kLeave);
    while (supervisor_->running() > 0 && Clock::now() < until) server_->run_for(20ms);
    if (supervisor_->running() > 0) supervisor_->send(SIGKILL);
    if (!interrupted) server_->run_for(200ms);  // others hear that it is over
    show(true);
  }

  int finish() {
    log_->finish(population(), coordinator_->events());
    io::write_file(directory_.path() / "lineage.svg",
                   lineage_svg(population(), coordinator_->events()));
    io::write_file(directory_.path() / "schedules.svg",
                   schedules_svg(population(), coordinator_->events()));
    const auto best = population().best();
    HECATE_CHECK(best, "no member of the population reached its first evaluation; see ",
                 (directory_.path() / "workers").string());
    const population::Member& member = population().members()[static_cast<size_t>(*best)];
    const fs::path target = directory_.path() / "best";
    if (!fs::exists(target))
      copy_member(directory_.path() / population::Population::directory(*best, member.incarnation),
                  member.step, target,
                  with_settings(config_, population().space().settings(member.point)));
    std::cout << "best: member " << *best << " at step " << member.step << ", "
              << config_.pbt.metric << " " << member.history.back().value << "\n"
              << "its checkpoint: " << target.string() << "\n"
              << "pictures: " << (directory_.path() / "lineage.svg").string() << ", "
              << (directory_.path() / "schedules.svg").string() << "\n"
              << "the same schedule on a fresh run: hecate train " << directory_.config().string()
              << " --replay " << (directory_.path() / "pbt.jsonl").string() << " --member best\n";
    return 0;
  }

  PopulationOptions options_;
  RunConfig config_;
  RunDirectory directory_;
  MemberStore store_;
  std::string probe_;
  std::optional<pbt::Coordinator> coordinator_;
  std::optional<pbt::Server> server_;
  std::optional<PopulationLog> log_;
  std::optional<Supervisor> supervisor_;
  Clock::time_point shown_at_;
  int64_t shown_lines_ = 0;
};

}  // namespace

void check_population(const RunConfig& config) {
  HECATE_CHECK(!config.pbt.search.empty(),
               "pbt.search is empty: name the hyper-parameters to search, as\n[[pbt.search]]\n"
               "key = \"schedule.rate\"\nmin = 1e-4\nmax = 1e-2");
  const population::SearchSpace space(config.pbt.search);
  population::Point low, high;
  for (const population::DimensionConfig& dimension : space.dimensions()) {
    HECATE_CHECK(tunable(dimension.key), "pbt.search: ", dimension.key,
                 " cannot be searched: expected a key of [schedule], [optimizer] or [router] (but "
                 "router.source, router.balance_scope, optimizer.groups), train.global_batch, "
                 "train.micro_batch or model.dropout");
    const bool listed = dimension.kind == "choice" || dimension.kind == "constant";
    low.push_back(listed ? 0 : dimension.min);
    high.push_back(listed ? static_cast<double>(dimension.values.size() - 1) : dimension.max);
  }
  // One at a time, so that the message names the key.
  for (size_t i = 0; i < low.size(); ++i) {
    with_settings(config, {space.settings(low)[i]});
    with_settings(config, {space.settings(high)[i]});
  }
  with_settings(config, space.settings(low));
  with_settings(config, space.settings(high));
}

int run_population(const PopulationOptions& options) {
  return PopulationRun(options).run();
}

}  // namespace hecate::launcher
