#include "launcher/train/branch.h"

#include <algorithm>
#include <cmath>

#include "launcher/checkpoint/directory.h"
#include "launcher/train/training_state.h"
#include "runtime/io/file.h"
#include "scheduler/length.h"
#include "scheduler/run_schedule.h"

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;

fs::path checkpoint_in(const fs::path& path) {
  std::error_code ignored;
  if (fs::exists(path / checkpoint::kManifestName, ignored)) return path;
  const auto all = checkpoint::list_checkpoints(path / "checkpoints");
  if (all.empty())
    throw IoError(concat(path.string(), ": neither a checkpoint nor a run that has one"));
  return all.front().path;
}

RunConfig saved_config(const checkpoint::Checkpoint& saved,
                       const std::vector<std::string>& overrides) {
  config::Settings settings;
  settings.add_text(read_progress(saved).config,
                    (saved.path() / checkpoint::kManifestName).string());
  for (const std::string& each : overrides) settings.add_override(each);
  return load_run_config(settings);
}

// Steps of the decay at the batch that the run has then.
int64_t decay_steps(const std::string& text, const scheduler::Position& from,
                    const scheduler::RunLength& run) {
  using Unit = scheduler::Length::Unit;
  const scheduler::Length decay = scheduler::parse_length("--decay", text);
  const double batch = static_cast<double>(run.tokens_at(from.step + 1) - run.tokens_at(from.step));
  double steps = decay.value;
  if (decay.unit == Unit::tokens) steps /= batch;
  if (decay.unit == Unit::share) {
    HECATE_CHECK(decay.value < 1, "--decay ", text, ": expected less than the whole run");
    steps = decay.value / (1 - decay.value) * static_cast<double>(from.tokens) / batch;
  }
  const int64_t whole = std::llround(steps);
  HECATE_CHECK(whole >= 1, "--decay ", text, " is less than a step; expected at least one");
  return whole;
}

// The main run's warm-up and stable phase, then a decay of `steps`.
scheduler::ScheduleConfig branched(const scheduler::ScheduleConfig& main,
                                   const scheduler::RunSchedule& schedule, int64_t steps) {
  static const std::vector<std::string> kStable = {"constant", "wsd", "wsdc", "wsd_s", "power"};
  HECATE_CHECK(std::ranges::count(kStable, main.kind) > 0, "schedule.kind = ", main.kind,
               " has no stable phase to branch from; expected constant, wsd, wsdc, wsd_s or power");
  scheduler::ScheduleConfig branch = main;
  branch.kind = main.kind == "power" ? "power" : "wsd";
  if (main.kind == "constant")
    branch.floor_ratio = scheduler::ScheduleConfig::of_kind("wsd").floor_ratio;
  branch.warmup = concat(config::shortest(schedule.parameters().warmup), ' ',
                         schedule.over_tokens() ? "tokens" : "steps");
  branch.decay = concat(steps, " steps");
  branch.end_points.clear();
  return branch;
}

}  // namespace

Branch open_branch(const fs::path& path, const std::string& decay,
                   const std::vector<std::string>& overrides) {
  Branch branch;
  branch.checkpoint = checkpoint_in(path);
  const checkpoint::Checkpoint saved(branch.checkpoint);
  branch.step = saved.step();
  const scheduler::Position from{.step = saved.step(), .tokens = saved.tokens()};
  const RunConfig main = saved_config(saved, {});
  const scheduler::RunSchedule schedule(main.schedule, main.run_length());
  branch.config = saved_config(saved, overrides);
  const int64_t steps = decay_steps(decay, from, main.run_length());
  branch.config.train.steps = from.step + steps;
  branch.config.schedule = branched(branch.config.schedule, schedule, steps);
  const scheduler::RunSchedule release(branch.config.schedule, branch.config.run_length());
  const double there = schedule.rate_at(from), stable = release.rate_at(from);
  HECATE_CHECK(std::abs(there - stable) <= 1e-9 * stable, "--branch-from ",
               branch.checkpoint.string(), ": step ", from.step,
               " is not in the stable phase of its schedule: the rate there is ",
               config::shortest(there), ", the stable one ", config::shortest(stable));
  branch.config.validate();
  return branch;
}

void start_branch(const Branch& branch, const RunDirectory& directory) {
  const std::vector<std::string> problems = checkpoint::verify(branch.checkpoint);
  if (!problems.empty()) throw IoError(concat("the checkpoint cannot be used: ", problems.front()));
  const fs::path checkpoints = directory.checkpoints();
  std::error_code error;
  fs::create_directory(checkpoints, error);
  if (error) throw io::io_error(checkpoints, "create directory", error.value());
  checkpoint::copy_checkpoint(branch.checkpoint, checkpoints / checkpoint::step_name(branch.step));
}

}  // namespace hecate::launcher
