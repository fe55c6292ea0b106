#include <spdlog/spdlog.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>

#include "collectives/flight_comparison.h"
#include "collectives/flight_record.h"
#include "launcher/checkpoint/directory.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/settings_options.h"
#include "launcher/pbt/replay.h"
#include "launcher/pbt/worker.h"
#include "launcher/preflight/preflight.h"
#include "launcher/preflight/speed.h"
#include "launcher/run/logging.h"
#include "launcher/train/branch.h"
#include "launcher/train/job.h"
#include "launcher/train/loaded_model.h"
#include "launcher/train/prediction.h"
#include "launcher/train/setup.h"
#include "launcher/train/trainer.h"
#include "launcher/version.h"

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;

struct Options {
  SettingsOptions settings;
  std::string run;
  bool resume = false;
  std::string branch_from, decay;
  std::string trace;
  WorkerOptions worker;
  int64_t ranks_per_member = 0;
  std::string scratch, replay, member = "best";

  bool branches() const { return !branch_from.empty(); }
  /// Whether the run begins with a checkpoint.
  bool continues() const { return resume || branches(); }
};

// The configuration of a resumed run is its own, then the file's and the overrides'.
config::Settings settings_of(const Options& options) {
  if (!options.resume) return options.settings.settings();
  HECATE_CHECK(!options.run.empty(), "train --resume needs --run DIR, the run to continue");
  config::Settings settings;
  settings.add_file(options.settings.file.empty()
                        ? RunDirectory::open(options.run).config().string()
                        : options.settings.file);
  for (const std::string& assignment : options.settings.overrides)
    settings.add_override(assignment);
  return settings;
}

fs::path run_path(const Options& options) {
  if (!options.run.empty()) return options.run;
  if (options.branches()) return RunDirectory::fresh_path("release");
  const fs::path file = options.settings.file;
  return RunDirectory::fresh_path(file.empty() ? "train" : file.stem().string());
}

int report(const TrainSummary& summary, const RunDirectory& directory) {
  if (summary.interrupted) {
    std::cout << "stopped after step " << summary.step << "; continue with: hecate train --run "
              << directory.path().string() << " --resume\n";
    return 0;
  }
  std::cout << "run directory " << directory.path().string() << "\n";
  if (summary.evaluation) {
    std::cout << "held-out loss " << summary.evaluation->loss << " nats per token";
    if (summary.evaluation->bits_per_byte > 0)
      std::cout << ", " << summary.evaluation->bits_per_byte << " bits per byte";
    std::cout << "\n";
  }
  return 0;
}

// Where ranks leave what they did last when communication fails: every rank must know it before any
// of them can ask another.
std::string flight_directory(const Options& options) {
  if (!options.run.empty()) return RunDirectory::at(options.run).flight().string();
  const char* job = std::getenv("OMPI_MCA_ess_base_jobid");
  return "runs/.flight-" + std::string(job == nullptr ? "0" : job);
}

// The configuration, or what is wrong with it: ranks say so together once they can talk.
struct Configuration {
  RunConfig config;
  std::optional<Branch> branch;
  std::exception_ptr error;
};

void check_branch(const Options& options) {
  HECATE_CHECK(
      options.branches() != options.decay.empty(),
      "train --branch-from CKPT needs --decay LENGTH, such as 10%, and the other way round");
  if (!options.branches()) return;
  HECATE_CHECK(!options.resume,
               "train --branch-from starts a run; --resume continues one: expected one of them");
  HECATE_CHECK(options.settings.file.empty() && options.settings.preset.empty(),
               "train --branch-from takes the checkpoint's configuration; expected no file and no "
               "--preset (--set changes single keys)");
}

Configuration read_configuration(const Options& options) {
  Configuration read;
  try {
    check_branch(options);
    if (options.branches()) {
      read.branch = open_branch(options.branch_from, options.decay, options.settings.overrides);
      read.config = with_vocabulary(read.branch->config);
    } else {
      read.config = with_vocabulary(load_run_config(settings_of(options)));
    }
  } catch (...) {
    read.error = std::current_exception();
  }
  return read;
}

// A run that is refused before its first step leaves nothing behind: its name stays free.
class FreshRun {
 public:
  FreshRun(const fs::path& path, bool fresh) : path_(path), fresh_(fresh) {}
  ~FreshRun() {
    if (fresh_) RunDirectory::at(path_).discard();
  }
  FreshRun(const FreshRun&) = delete;
  FreshRun& operator=(const FreshRun&) = delete;
  void keep() { fresh_ = false; }

 private:
  fs::path path_;
  bool fresh_;
};

fs::path open_run(const Options& options, const Configuration& read, const Job& job) {
  fs::path path;
  job.agree([&] {
    if (!job.first()) return;
    path = run_path(options);
    const RunDirectory directory = options.resume
                                       ? RunDirectory::open(path)
                                       : RunDirectory::create(path, config::to_toml(read.config));
    FreshRun fresh(path, !options.resume);
    keep_tokenizer(read.config.data, directory.path());
    if (read.branch) start_branch(*read.branch, directory);
    fresh.keep();
  });
  return job.share(path.string());
}

// A run directory that a rank does not see is no shared one: that rank's part of every checkpoint
// would be missing.
void log_of(const Job& job, const fs::path& run) {
  RunDirectory::open(run);
  start_logging({.rank = job.rank(),
                 .ranks = job.ranks(),
                 .file = job.first() ? fs::path() : RunDirectory::at(run).log(job.rank()),
                 .terminal = job.first() && is_terminal(2),
                 .level = "info"});
}

// What must be equal on all ranks: the options that are no part of the configuration, too.
std::string start_text(const Options& options, const RunConfig& config) {
  const auto given = [](const std::string& text) { return text.empty() ? "(not given)" : text; };
  return concat("--resume = ", options.resume ? "yes" : "no", "\n--run = ", given(options.run),
                "\n--branch-from = ", given(options.branch_from),
                "\n--trace = ", given(options.trace), "\n--replay = ", given(options.replay),
                "\n--member = ", given(options.member), "\n", config::to_toml(config));
}

void measure_ranks(const RunConfig& config, const Job& job) {
  if (job.ranks() == 1) return;
  const SpeedOptions speed{
      .threads = compute_threads(config.device, job),
      .seconds = 0.2,
      .pace_flops_per_s = config.device.kind == "paced" ? 1e9 * config.device.pace_gflops : 0};
  const std::vector<RankSpeed> speeds = measure_speed(job.world(), speed);
  spdlog::info("{}", speed_summary(speeds));
  if (const std::string slow = slow_ranks(speeds); !slow.empty()) spdlog::warn("{}", slow);
}

// How far a run has come, for what is said when it fails.
struct Course {
  std::string flight;
  fs::path run;  // empty: there is none yet
};

void name_last_checkpoint(const fs::path& run) {
  if (run.empty()) return;
  const auto all = checkpoint::list_checkpoints(RunDirectory::at(run).checkpoints());
  std::cerr << "last checkpoint: " << (all.empty() ? "none" : all.front().path.string())
            << std::endl;
}

// Ranks that lost another: the first one tells at once, and the lowest that is left compares what
// they did last.
void report_lost(const CommError& error, const Job& job, const Course& course) {
  if (job.first()) report_failure(error.what());
  const std::string found = collectives::report_failure(course.flight, job.rank());
  std::error_code ignored;
  const std::string told = collectives::flight_report_file(course.flight);
  if (found.empty() && fs::exists(told, ignored)) return spdlog::critical("{}", error.what());
  if (!job.first()) report_failure(error.what());
  std::cerr << found;
  name_last_checkpoint(course.run);
}

// What `work` returns, or what its failure leaves to say and the exit code. On one rank errors are
// passed on.
int reporting(const Job& job, const Course& course, const std::function<int()>& work) {
  int code = 1;
  try {
    return work();
  } catch (const AgreedError& error) {
    if (job.first())
      std::cerr << "hecate: " << error.what() << std::endl;
    else
      spdlog::critical("{}", error.what());
    code = error.exit_code();
  } catch (const CommError& error) {
    report_lost(error, job, course);
    job.abandon();
  } catch (const std::exception& error) {
    if (job.ranks() == 1) throw;
    report_failure(error.what());
    name_last_checkpoint(course.run);
    code = dynamic_cast<const InvalidArgument*>(&error) != nullptr ? 2 : 1;
    job.abandon();
  }
  settle_terminal();
  return code;
}

int train(const Options& options, const Configuration& read, const Job& job, Course& course) {
  start_logging({.rank = job.rank(),
                 .ranks = job.ranks(),
                 .file = {},
                 .terminal = is_terminal(2),
                 .level = "info"});
  trace::StepRange traced;
  job.agree([&] {
    if (read.error) std::rethrow_exception(read.error);
    if (!options.trace.empty()) traced = trace::parse_step_range(options.trace);
  });
  if (job.ranks() > 1) {
    job.agree(
        [&] { check_same_start(job.world(), start_text(options, read.config), version_text()); });
    job.agree([&] { check_trainable(read.config, job); });
  }
  measure_ranks(read.config, job);
  course.run = open_run(options, read, job);
  FreshRun fresh(course.run, job.first() && !options.resume);
  job.agree([&] { log_of(job, course.run); });
  const RunDirectory directory = RunDirectory::at(course.run);
  if (!options.replay.empty()) {
    const auto segments = job.agreed([&] { return read_schedule(options.replay, options.member); });
    fresh.keep();
    const TrainSummary summary = run_replay(read.config, segments, directory, job);
    return job.first() ? report(summary, directory) : 0;
  }
  std::optional<Trainer> trainer;
  try {
    trainer.emplace(read.config, directory, options.continues(), job);
  } catch (const CommError&) {  // its records of what ranks did last are in the directory
    fresh.keep();
    throw;
  }
  fresh.keep();
  if (!options.trace.empty()) trainer->trace(traced);
  // What fails is said before the trainer goes: on its way out it may wait for ranks that are lost.
  return reporting(job, course, [&] {
    const TrainSummary summary = trainer->run();
    return job.first() ? report(summary, directory) : 0;
  });
}

// A worker of a population: all ranks, or groups of them in one big job.
int work(const Options& options) {
  HECATE_CHECK(
      options.run.empty() && !options.resume && options.replay.empty(),
      "train --pbt: the controller says where members are; drop --run, --resume, --replay");
  const Job job = Job::start({});
  start_logging({.rank = job.rank(), .ranks = job.ranks(), .file = {}});
  return reporting(job, {}, [&] {
    WorkerOptions worker = options.worker;
    worker.file = options.settings.file;
    worker.overrides = options.settings.overrides;
    worker.scratch = options.scratch;
    const int64_t size = options.ranks_per_member;
    if (size == 0 || size == job.ranks()) return run_worker(worker, job);
    HECATE_CHECK(size > 0 && job.ranks() % size == 0, "--ranks-per-member ", size, ": ",
                 job.ranks(), " ranks cannot be split into groups of that size");
    const int group = job.rank() / static_cast<int>(size);
    if (!worker.name.empty()) worker.name += concat("-", group);
    const Job mine(job.world().split(group, job.rank(), job.world().lane()));
    return run_worker(worker, mine);
  });
}

int run(const Options& options) {
  if (!options.worker.controller.empty()) return work(options);
  const Configuration read = read_configuration(options);
  if (read.error && !collectives::mpi::launched()) std::rethrow_exception(read.error);
  Course course{.flight = flight_directory(options), .run = options.resume ? options.run : ""};
  const Job job = Job::start(collectives::communicator_options(read.config.cluster, course.flight));
  return reporting(job, course, [&] { return train(options, read, job, course); });
}

}  // namespace

void add_train_command(Command root) {
  Command command = root.command("train", "Train a model");
  const auto options = std::make_shared<Options>();
  options->settings.add_to(command, false);
  command.option("--run", options->run, "DIR", "run directory; default: runs/<date>-<name>");
  command.flag("--resume", options->resume, "continue from the newest valid checkpoint of --run");
  command.option("--branch-from", options->branch_from, "CKPT",
                 "starts a run that decays this stable-phase checkpoint (or a run's newest)");
  command.option("--decay", options->decay, "LENGTH",
                 "with --branch-from: steps, tokens, or a share of the release's run (10%)");
  command.option("--trace", options->trace, "steps=A..B",
                 "writes a timeline of these steps' operations, for ui.perfetto.dev");
  command.option("--pbt", options->worker.controller, "HOST:PORT",
                 "train members of the population whose controller is there");
  command.option("--pbt-name", options->worker.name, "NAME",
                 "this worker's name; default: host and process");
  command.option("--pbt-scratch", options->scratch, "DIR",
                 "where members are kept that come through the connection");
  command.option("--ranks-per-member", options->ranks_per_member, "N",
                 "--pbt in one big mpirun: every N ranks are a worker; 0: all are one");
  command.option("--replay", options->replay, "FILE",
                 "follow the values that a population found, from its pbt.jsonl");
  command.option("--member", options->member, "N",
                 "--replay: whose values; best, or a member's number");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
