#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "launcher/train/step_record.h"
#include "runtime/base/metric_sink.h"

namespace hecate::launcher {

struct StepMetricsOptions {
  int rank = 0;
  /// Of ranks, only this one is shown; else the first rank shows all. What is the run's is always
  /// shown by the first rank alone.
  bool own_rank_only = false;
  bool per_expert = false;
};

/// Writes steps to a sink. Its series are made by the first step, so that later ones only set
/// numbers.
class StepMetrics {
 public:
  /// @param sink outlives the object.
  StepMetrics(MetricSink& sink, const StepMetricsOptions& options)
      : sink_(&sink), options_(options) {}

  /// Publishes.
  void write(const StepRecord& record);

 private:
  /// Nothing: the step does not say.
  using Value = std::function<std::optional<double>(const StepRecord&)>;
  struct Bound {
    SeriesId series;
    Value value;
    bool adds;
    bool seen;  ///< has had a value: nothing is 0 from then on
  };

  void bind(const MetricFamily& family, const MetricLabels& labels, Value value);
  /// Values add up over the steps.
  void bind_sum(const MetricFamily& family, const MetricLabels& labels, Value value);
  void bind_run(const StepRecord& first);
  void bind_operations();
  void bind_layers(const StepRecord& first);
  void bind_placement(const std::string& layer, size_t index);
  void bind_experts(const std::string& layer, size_t number, size_t experts);
  void bind_traffic();
  void bind_rank(size_t rank);

  MetricSink* sink_;
  StepMetricsOptions options_;
  std::vector<Bound> bound_;
};

}  // namespace hecate::launcher
