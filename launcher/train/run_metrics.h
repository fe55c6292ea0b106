#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "launcher/checkpoint/writer.h"
#include "launcher/config/run_config.h"
#include "launcher/metrics/metric_server.h"
#include "launcher/run/run_directory.h"
#include "launcher/train/engine.h"
#include "launcher/train/job.h"
#include "launcher/train/step_metrics.h"
#include "launcher/train/step_record.h"

namespace hecate::launcher {

/// A training run's live metrics, as configured under [metrics]: nothing at all where they are off.
/// What a step writes becomes visible when the step has ended, all of it at once.
class RunMetrics {
 public:
  /// All ranks must call.
  RunMetrics(const RunConfig& config, const RunDirectory& directory, const Job& job);
  ~RunMetrics();
  RunMetrics(const RunMetrics&) = delete;
  RunMetrics& operator=(const RunMetrics&) = delete;

  bool on() const { return server_ != nullptr; }
  /// After an update.
  void step(const StepRecord& record);
  /// A step that moved nothing: its loss or gradient was not finite, or its loss a spike.
  void refused_step(const StepResult& result);
  void evaluation(const EvaluationResult& result);
  void saved(const checkpoint::SaveReport& report);

 private:
  void begin(const RunConfig& config, const Job& job);
  void write_targets(const Job& job, const MetricsConfig& config, const std::string& run);

  std::unique_ptr<MetricServer> server_;
  std::unique_ptr<StepMetrics> steps_;
  std::filesystem::path targets_;  // a file; empty: none was written
  bool first_;
};

}  // namespace hecate::launcher
