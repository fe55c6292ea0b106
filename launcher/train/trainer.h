#pragma once
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/config/run_config.h"
#include "launcher/run/load_trace_writer.h"
#include "launcher/run/progress_line.h"
#include "launcher/run/run_directory.h"
#include "launcher/run/signal_guard.h"
#include "launcher/run/step_log.h"
#include "launcher/train/engine.h"
#include "launcher/train/job.h"
#include "launcher/train/plan_inputs.h"
#include "launcher/train/run_metrics.h"
#include "launcher/train/step_record.h"
#include "launcher/train/training_state.h"
#include "scheduler/run_schedule.h"

namespace hecate::launcher {

/// How a run ended.
struct TrainSummary {
  int64_t step = 0;
  /// By SIGINT or SIGTERM, before what was asked for; a checkpoint of `step` is on disk.
  bool interrupted = false;
  std::optional<EvaluationResult> evaluation;
};

/// The training loop of one run: steps, evaluations, checkpoints, the step log, signals.
class Trainer {
 public:
  /// Makes model and data; with `resume` continues from the newest valid checkpoint of the
  /// directory (from the start if there is none, with a warning).
  /// @param config complete (see with_vocabulary). @throws what its parts throw.
  /// @param job its ranks train together: all of them construct and run. The first one writes logs
  ///   and prints.
  Trainer(const RunConfig& config, const RunDirectory& directory, bool resume, const Job& job = {});
  ~Trainer();

  /// Records these steps' operations; their timeline is in the run directory when run() is over.
  void trace(trace::StepRange steps);

  /// @throws NumericError naming step and tensor when the run must stop on a spike; IoError when a
  /// file cannot be written. Older checkpoints are whole then.
  /// @param until stops after this update as at the end of the run, with a checkpoint and an
  ///   evaluation of train.eval_batches; run() may be called again then and goes on.
  TrainSummary run(std::optional<int64_t> until = {});

  const Progress& progress() const { return progress_; }
  /// Whether run() threw because of a loss or gradient that was not finite, or a spike.
  bool diverged() const { return diverged_; }
  /// Called after every update with its number and loss; on the first rank.
  void watch(std::function<void(int64_t, double)> watcher) { watcher_ = std::move(watcher); }

 private:
  checkpoint::WriterOptions writer_options() const;
  void open_logs();
  void resume_from_latest();
  std::string latest_checkpoint() const;
  /// Fills the batch of the next step; what is wrong with its data stops the run after the state
  /// is saved. @return whether there is a next step.
  bool load_next();
  void rethrow_load_error() const;
  /// Whether any rank wants to stop; throws on all when a save has failed.
  bool agree_to_stop(bool mine);
  void take(const std::vector<checkpoint::SaveReport>& reports);
  /// Waits for the writer; what it throws is agreed.
  void finish_saves();
  std::string last_good() const;
  std::optional<std::vector<int>> speakers_before() const;
  /// @return whether the update ended a cycle of the schedule.
  bool step();
  /// Where the run is, and would be after (before) `updates` more.
  scheduler::Position position(int64_t updates = 0) const;
  void keep_decayed();
  /// A loss above it is a spike; infinite while there is no limit.
  double loss_limit() const;
  /// Stops, skips or rolls back after a step that moved nothing.
  void handle_spike(const StepResult& result);
  /// For the message about a loss that is not finite.
  std::string first_not_finite();
  void roll_back();
  void log_step(const StepResult& result, double rate);
  StepRecord record_of(const StepResult& result, double rate);
  bool shows_placement(const StepResult& result) const;
  void write_timeline();
  void open_load_trace();
  void append_loads();
  void evaluate(uint64_t windows);
  void save();
  bool evaluates_after(int64_t step) const;

  RunConfig config_;
  RunDirectory directory_;
  Job job_;
  PlanInputs plan_inputs_;
  Engine engine_;
  data::Loader loader_;
  std::optional<data::Validation> validation_;
  scheduler::RunSchedule schedule_;
  Progress progress_;
  double peak_flops_per_s_ = 0;
  std::unique_ptr<checkpoint::CheckpointWriter> writer_;
  std::unique_ptr<RunMetrics> metrics_;
  std::unique_ptr<StepLog> log_;
  std::unique_ptr<LoadTraceWriter> loads_;
  std::unique_ptr<ProgressLine> line_;
  std::unique_ptr<trace::TimelineRecorder> recorder_;
  std::deque<double> recent_losses_;
  int64_t spikes_ = 0, furthest_step_ = 0;
  std::exception_ptr load_error_, save_error_;
  std::optional<checkpoint::SaveReport> last_save_;  ///< that no record has told of
  bool placement_shown_ = false;
  int64_t saved_step_ = -1;
  std::filesystem::path last_checkpoint_;  ///< complete on disk
  std::optional<EvaluationResult> evaluation_;
  bool diverged_ = false;
  std::function<void(int64_t, double)> watcher_;
};

}  // namespace hecate::launcher
