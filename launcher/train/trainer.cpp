#include "launcher/train/trainer.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cmath>
#include <iostream>
#include <limits>
#include <numeric>

#include "launcher/checkpoint/directory.h"
#include "launcher/train/setup.h"
#include "runtime/kernels/peak.h"

namespace hecate::launcher {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kMostSpikes = 100;
constexpr double kPeakSeconds = 0.05;
constexpr int64_t kPlacementSteps = 50;

// Data without a held-out part is trained on all the same.
std::optional<data::Validation> open_validation(const RunConfig& config) {
  try {
    return data::Validation(config.data, config.model.vocabulary, config.model.sequence);
  } catch (const InvalidArgument& error) {
    if (!config.data.validation.empty()) throw;
    spdlog::warn("no evaluation: {}", error.what());
    return std::nullopt;
  }
}

PlanInputs plan_inputs_of(const RunConfig& config, const Job& job, const RunDirectory& directory) {
  if (job.ranks() == 1) return {};
  PlanInputs inputs = resolve_plan_inputs(config, job, directory.path() / "plan_inputs.json");
  if (config.fssdp.calibrate && job.first() &&
      (inputs.overlap_degree == 0 || inputs.memory_capacity == 0))
    spdlog::warn(
        "fssdp.calibrate: t = {} and m = {}, so no expert is ever gathered; "
        "fssdp.overlap_degree and fssdp.memory_capacity set them by hand",
        inputs.overlap_degree, inputs.memory_capacity);
  return inputs;
}

double measure_peak(int threads) {
  ThreadPool pool(threads);
  CpuStream stream(pool);
  return kernels::measure_peak_flops(stream, kPeakSeconds);
}

}  // namespace

Trainer::Trainer(const RunConfig& config, const RunDirectory& directory, bool resume,
                 const Job& job)
    : config_(config),
      directory_(directory),
      job_(job),
      plan_inputs_(plan_inputs_of(config, job, directory)),
      engine_(engine_options(config, job, plan_inputs_)),
      loader_(job.agreed([&] {
        return data::Loader(config.data, static_cast<uint64_t>(config.seed),
                            config.model.vocabulary, config.model.sequence);
      })),
      validation_(job.agreed([&] { return open_validation(config); })),
      schedule_(config.schedule, config.run_length()) {
  progress_.data_identity = loader_.identity();
  if (resume) resume_from_latest();
  progress_.config = config::to_toml(config_);
  if (config.device.kind == "cpu")
    peak_flops_per_s_ = measure_peak(compute_threads(config.device, job));
  const checkpoint::WriterOptions options = writer_options();
  job_.agree([&] {
    writer_ = std::make_unique<checkpoint::CheckpointWriter>(options);
    if (job_.first()) open_logs();
  });
  metrics_ = std::make_unique<RunMetrics>(config_, directory_, job_);
  // A run may have been killed between the save of an end point and its second name.
  if (progress_.step > 0 && schedule_.ends_cycle(position(-1), position())) keep_decayed();
  load_next();
  job_.agree([&] { rethrow_load_error(); });
}

Trainer::~Trainer() = default;

// The writer's background thread gathers over ranks of its own.
checkpoint::WriterOptions Trainer::writer_options() const {
  checkpoint::WriterOptions options;
  options.directory = directory_.checkpoints();
  options.keep = config_.checkpoint.keep;
  options.rank = job_.rank();
  options.ranks = job_.ranks();
  if (job_.ranks() > 1)
    options.gather = [ranks = Job(job_.world().on_lane(LaneKind::dense))](const std::string& mine) {
      return ranks.gather(mine);
    };
  return options;
}

void Trainer::open_logs() {
  log_ = std::make_unique<StepLog>(directory_.steps(), progress_.step);
  line_ = std::make_unique<ProgressLine>(std::cerr, is_terminal(STDERR_FILENO),
                                         config_.train.progress_seconds, progress_.step,
                                         config_.train.steps, Clock::now());
  open_load_trace();
}

// The newest valid checkpoint; empty if there is none. The first rank looks.
std::string Trainer::latest_checkpoint() const {
  std::string path;
  job_.agree([&] {
    if (!job_.first()) return;
    checkpoint::clean_leftovers(directory_.checkpoints());
    const checkpoint::Latest latest = checkpoint::find_latest(directory_.checkpoints());
    for (const std::string& warning : latest.warnings) spdlog::warn("{}", warning);
    if (latest.checkpoint) path = latest.checkpoint->path.string();
  });
  return job_.share(path);
}

void Trainer::resume_from_latest() {
  const std::string path = latest_checkpoint();
  if (path.empty()) {
    if (job_.first())
      spdlog::warn("no valid checkpoint in {}: starting from step 0",
                   directory_.checkpoints().string());
    return;
  }
  job_.agree([&] {
    const checkpoint::Checkpoint saved(path);
    progress_ = restore(engine_, saved);
    if (progress_.data_identity.empty())
      progress_.data_identity = loader_.identity();
    else
      loader_.check_identity(progress_.data_identity);
  });
  saved_step_ = progress_.step;
  last_checkpoint_ = path;
  recent_losses_.assign(progress_.recent_losses.begin(), progress_.recent_losses.end());
  job_.agree([&] {
    if (job_.first()) checkpoint::remove_after(directory_.checkpoints(), progress_.step);
  });
  if (job_.first()) spdlog::info("continuing from {} (step {})", path, progress_.step);
}

TrainSummary Trainer::run(std::optional<int64_t> until) {
  const int64_t end = std::min(until.value_or(config_.train.steps), config_.train.steps);
  const auto some =
      static_cast<uint64_t>(config_.train.eval_batches * config_.train.sequences_at_once());
  SignalGuard signals(config_.train.deadline_seconds, speakers_before());
  signals.set_note(last_good());
  bool stop = job_.any(signals.requested());  // the first batch is there
  while (progress_.step < end && !stop) {
    const bool decayed = step();
    const int64_t every = config_.checkpoint.every;
    if (decayed || (every > 0 && progress_.step % every == 0)) save();
    if (decayed) keep_decayed();
    stop = !load_next() || signals.requested();
    stop = agree_to_stop(stop);
    signals.set_note(last_good());
    if (evaluates_after(progress_.step) && progress_.step < end && !stop) evaluate(some);
  }
  TrainSummary summary{
      .step = progress_.step, .interrupted = progress_.step < end, .evaluation = {}};
  if (saved_step_ != progress_.step) save();
  if (job_.any(load_error_ != nullptr)) {
    finish_saves();
    job_.agree([&] { rethrow_load_error(); });
  }
  if (!summary.interrupted && validation_) evaluate(until ? some : 0);
  if (!until) write_timeline();
  finish_saves();
  if (!until) line_.reset();
  summary.evaluation = evaluation_;
  return summary;
}

// A save fails on all ranks, but they learn of it at different steps.
bool Trainer::agree_to_stop(bool mine) {
  constexpr double kGoOn = 0, kStop = 1, kSaveFailed = 2;
  bool failed = false;
  try {
    take(writer_->poll());
  } catch (const IoError&) {
    save_error_ = std::current_exception();
    failed = true;
  }
  const double most = job_.largest(failed ? kSaveFailed : mine ? kStop : kGoOn);
  if (most == kSaveFailed) finish_saves();
  return most > kGoOn;
}

void Trainer::take(const std::vector<checkpoint::SaveReport>& reports) {
  for (const checkpoint::SaveReport& report : reports) {
    last_checkpoint_ = report.path;
    last_save_ = report;
    metrics_->saved(report);
    if (!report.warning.empty()) spdlog::warn("{}", report.warning);
  }
}

void Trainer::finish_saves() {
  job_.agree([&] {
    try {
      if (save_error_) std::rethrow_exception(save_error_);
      take(writer_->wait());
    } catch (const IoError& error) {
      throw IoError(concat(error.what(), "; ", last_good()));
    }
  });
}

std::string Trainer::last_good() const {
  return "the last good checkpoint is " +
         (last_checkpoint_.empty() ? "none" : last_checkpoint_.string());
}

// Who tells the user about a signal in this rank's place while it lives: the ranks before it, when
// all of them run on this machine; nobody where this rank is the first.
std::optional<std::vector<int>> Trainer::speakers_before() const {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  const std::vector<std::string> all =
      job_.gather(concat(host.data(), ' ', static_cast<int>(::getpid())));
  std::vector<int> before;
  for (int rank = 0; rank < job_.rank(); ++rank) {
    const std::string& text = all[static_cast<size_t>(rank)];
    const size_t space = text.rfind(' ');
    if (text.substr(0, space) != host.data()) return std::nullopt;
    before.push_back(std::stoi(text.substr(space)));
  }
  return before;
}

bool Trainer::load_next() {
  if (progress_.step >= config_.train.steps) return false;
  try {
    engine_.set_global_batch(schedule_.run().batch_at(progress_.step));
    engine_.load(loader_, progress_.next_sample);
  } catch (const Error&) {
    load_error_ = std::current_exception();
  }
  return !load_error_;
}

void Trainer::rethrow_load_error() const {
  if (!load_error_) return;
  std::string where = concat("step ", progress_.step + 1);
  if (saved_step_ >= 0)
    where += concat(" (the run so far is in ",
                    (directory_.checkpoints() / checkpoint::step_name(saved_step_)).string(), ")");
  try {
    std::rethrow_exception(load_error_);
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(concat(where, ": ", error.what()));
  } catch (const IoError& error) {
    throw IoError(concat(where, ": ", error.what()));
  }
}

// A step that moved nothing does not count: the next one takes its number and the next samples.
bool Trainer::step() {
  const scheduler::Position before = position(), after = position(1);
  const double rate = schedule_.rate(before, after);
  const StepResult result = engine_.train_step(progress_.step, rate, loss_limit());
  progress_.next_sample += static_cast<uint64_t>(schedule_.run().batch_at(progress_.step));
  if (!result.updated) {
    handle_spike(result);
    return false;
  }
  ++progress_.step;
  progress_.tokens += result.tokens;
  if (progress_.step > furthest_step_) {
    furthest_step_ = progress_.step;
    spikes_ = 0;
  }
  append_loads();
  log_step(result, rate);
  return schedule_.ends_cycle(before, after);
}

scheduler::Position Trainer::position(int64_t updates) const {
  const scheduler::RunLength& run = schedule_.run();
  const int64_t step = progress_.step + updates;
  return {.step = step,
          .tokens = progress_.tokens + run.tokens_at(step) - run.tokens_at(progress_.step)};
}

double Trainer::loss_limit() const {
  if (config_.train.spike_factor <= 0 ||
      recent_losses_.size() < static_cast<size_t>(config_.train.spike_window))
    return std::numeric_limits<double>::infinity();
  return config_.train.spike_factor *
         std::accumulate(recent_losses_.begin(), recent_losses_.end(), 0.0) /
         static_cast<double>(recent_losses_.size());
}

std::string Trainer::first_not_finite() {
  const std::string name = engine_.find_not_finite(progress_.step);
  return name.empty() ? "" : concat("; the first tensor that is not is ", name);
}

void Trainer::handle_spike(const StepResult& result) {
  metrics_->refused_step(result);
  std::string problem = concat("step ", progress_.step + 1, ": ");
  if (result.not_finite.empty())
    problem += concat("the loss ", result.loss, " is above the limit ", loss_limit(),
                      " (train.spike_factor)");
  else if (result.not_finite == "loss")
    problem += "the loss is not finite" + first_not_finite();
  else
    problem += "the gradient of " + result.not_finite + " is not finite";
  ++spikes_;
  if (config_.train.on_spike == "stop" || spikes_ > kMostSpikes) {
    if (spikes_ > kMostSpikes) problem += concat(", ", spikes_, " times without getting further");
    diverged_ = true;
    finish_saves();
    job_.agree([&] { throw NumericError(concat(problem, "; ", last_good())); });
  }
  const bool skip = config_.train.on_spike == "skip";
  if (job_.first()) spdlog::warn("{}; {}", problem, skip ? "update skipped" : "rolling back");
  if (!skip) roll_back();
}

// Back to the last checkpoint, past the samples that were seen since.
void Trainer::roll_back() {
  finish_saves();
  const uint64_t next_sample = progress_.next_sample;
  job_.agree([&] {
    HECATE_CHECK(saved_step_ >= 0, "train.on_spike = rollback, but no checkpoint has been written");
    const checkpoint::Checkpoint saved(directory_.checkpoints() /
                                       checkpoint::step_name(saved_step_));
    progress_ = restore(engine_, saved);
  });
  progress_.next_sample = next_sample;
  if (job_.first()) log_ = std::make_unique<StepLog>(directory_.steps(), progress_.step);
  if (job_.first()) open_load_trace();
  recent_losses_.clear();
}

void Trainer::log_step(const StepResult& result, double rate) {
  recent_losses_.push_back(result.loss);
  if (recent_losses_.size() > static_cast<size_t>(config_.train.spike_window))
    recent_losses_.pop_front();
  const StepRecord record = record_of(result, rate);
  metrics_->step(record);
  if (!job_.first()) return;
  if (watcher_) watcher_(progress_.step, result.loss);
  line_->update(progress_.step, result.loss, static_cast<double>(result.tokens) / result.seconds,
                Clock::now());
  if (progress_.step % config_.train.log_every != 0 && progress_.step != config_.train.steps)
    return;
  log_->append(step_line(record));
  last_save_.reset();
  placement_shown_ = true;
}

// Who owns what changes seldom, who holds what with every step: shown now and then.
bool Trainer::shows_placement(const StepResult& result) const {
  if (job_.ranks() == 1 ||
      config_.model.experts * std::ssize(config_.model.expert_layers()) > kMostExpertNumbers)
    return false;
  return !placement_shown_ || result.sharded.reshard.moves > 0 ||
         progress_.step % kPlacementSteps == 0;
}

StepRecord Trainer::record_of(const StepResult& result, double rate) {
  return {.step = progress_.step,
          .tokens = progress_.tokens,
          .rate = rate,
          .ranks = job_.ranks(),
          .peak_flops_per_s = peak_flops_per_s_,
          .result = &result,
          .statistics = &engine_.statistics(),
          .peak_bytes = engine_.peak_bytes(),
          .budget_bytes = engine_.options().memory_budget_bytes,
          .time = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
                      .count(),
          .saved = last_save_ ? &*last_save_ : nullptr,
          .sharded = engine_.sharded(),
          .placement = shows_placement(result)};
}

void Trainer::trace(trace::StepRange steps) {
  recorder_ = std::make_unique<trace::TimelineRecorder>(steps, job_.rank());
  job_.barrier();
  recorder_->align();
  engine_.record(recorder_.get());
}

void Trainer::write_timeline() {
  if (!recorder_) return;
  job_.agree([&] { recorder_->write(directory_.timeline(job_.rank())); });
  if (!job_.first()) return;
  std::filesystem::path path = directory_.timeline(0);
  if (job_.ranks() > 1) {
    std::vector<std::filesystem::path> parts;
    for (int rank = 0; rank < job_.ranks(); ++rank) parts.push_back(directory_.timeline(rank));
    path = path.parent_path() / "all-ranks.json";
    trace::merge_timelines(parts, path);
  }
  spdlog::info("timeline in {}", path.string());
}

bool Trainer::evaluates_after(int64_t step) const {
  return validation_ && config_.train.eval_every > 0 && step < config_.train.steps &&
         step % config_.train.eval_every == 0;
}

void Trainer::evaluate(uint64_t windows) {
  const auto begin = Clock::now();
  evaluation_ = engine_.evaluate(*validation_, windows);
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  metrics_->evaluation(*evaluation_);
  if (!job_.first()) return;
  log_->append(evaluation_line(progress_.step, progress_.tokens, *evaluation_, seconds));
  spdlog::info("step {}: held-out loss {:.4f}, bits per byte {:.4f} ({:.1f} s)", progress_.step,
               evaluation_->loss, evaluation_->bits_per_byte, seconds);
}

void Trainer::open_load_trace() {
  if (!config_.trace_loads) return;
  const models::ModelConfig& model = config_.model;
  loads_.reset();  // two writers of one file would be one too many
  loads_ = std::make_unique<LoadTraceWriter>(
      directory_.load_trace(),
      LoadTraceShape{.ranks = job_.ranks(),
                     .layers = static_cast<int64_t>(model.expert_layers().size()),
                     .experts = model.experts,
                     .tokens = config_.train.largest_batch() * model.sequence / job_.ranks()},
      progress_.step);
  if (loads_->missing() > 0)
    spdlog::warn("{}: the first {} steps were not recorded: zeros",
                 directory_.load_trace().string(), loads_->missing());
}

void Trainer::append_loads() {
  if (!loads_) return;
  std::vector<int64_t> counts;
  if (engine_.sharded() == nullptr) {
    for (const models::MoeStatistics& layer : engine_.statistics().layers)
      counts.insert(counts.end(), layer.counts.begin(), layer.counts.end());
  } else {
    const sharding::StepLoads& loads = engine_.sharded()->loads();
    for (int rank = 0; rank < loads.shape.sources; ++rank)
      for (int layer = 0; layer < loads.shape.layers; ++layer) {
        const auto of_rank = loads.layer(layer).subspan(
            static_cast<size_t>(rank) * static_cast<size_t>(loads.shape.experts),
            static_cast<size_t>(loads.shape.experts));
        counts.insert(counts.end(), of_rank.begin(), of_rank.end());
      }
  }
  loads_->append(counts);
}

void Trainer::save() {
  if (config_.train.spike_factor > 0)
    progress_.recent_losses.assign(recent_losses_.begin(), recent_losses_.end());
  job_.agree([&] {
    if (loads_) loads_->flush();
    try {
      writer_->save(make_snapshot(engine_, progress_));
    } catch (const IoError& error) {  // of the save before
      throw IoError(concat(error.what(), "; ", last_good()));
    }
  });
  saved_step_ = progress_.step;
}

// Under a name of its own the decayed model outlives pruning.
void Trainer::keep_decayed() {
  finish_saves();
  const std::filesystem::path kept =
      directory_.checkpoints() / checkpoint::decayed_name(progress_.step);
  job_.agree([&] {
    if (job_.first())
      checkpoint::copy_checkpoint(directory_.checkpoints() / checkpoint::step_name(progress_.step),
                                  kept);
  });
  if (job_.first())
    spdlog::info("step {}: decayed model kept as {}", progress_.step, kept.string());
}

}  // namespace hecate::launcher
