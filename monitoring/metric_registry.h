#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/metric_sink.h"

namespace hecate::monitoring {

struct RegistryOptions {
  MetricLabels common = {};    ///< of every series
  int64_t max_series = 10000;  ///< the registry's own included
  /// Told once of the first series that is refused.
  std::function<void(const std::string&)> warn = nullptr;
};

/// The process's metrics. Writers and readers meet only where publish() and read() copy plain
/// numbers, so a slow reader delays nobody.
class MetricRegistry final : public MetricSink {
 public:
  /// @throws InvalidArgument if not even the registry's own series fit.
  explicit MetricRegistry(RegistryOptions options = {});

  /// @throws InvalidArgument for names that Prometheus does not take, counters that do not end in
  ///   _total, gauges that do, and a family that was another kind before.
  SeriesId series(const MetricFamily& family, const MetricLabels& labels) override;
  void set(SeriesId series, double value) override;
  void add(SeriesId series, double value) override;
  void clear(SeriesId series) override;
  void publish() override;

  struct Sample {
    const MetricLabels* labels;  ///< common ones first
    double value;
  };
  struct FamilySamples {
    std::string name, help;
    MetricKind kind;
    std::vector<Sample> samples;  ///< in the order in which they came
  };
  /// What was published last, by family in the order in which they came.
  class Snapshot {
   public:
    std::vector<FamilySamples> families() const;

   private:
    friend class MetricRegistry;
    std::shared_ptr<const struct SeriesTable> table_;
    std::vector<std::optional<double>> values_;
  };
  Snapshot read() const;

 private:
  void check(const MetricFamily& family, const MetricLabels& labels) const;
  SeriesId refuse(const MetricFamily& family);

  RegistryOptions options_;
  std::mutex mutex_;  // of what writers see
  std::shared_ptr<struct SeriesTable> table_;
  std::vector<std::optional<double>> values_;
  std::map<std::string, SeriesId> known_;  // by name and labels
  double refused_ = 0;
  SeriesId count_id_{}, refused_id_{};
  mutable std::mutex published_mutex_;  // of what readers see
  Snapshot published_;
};

}  // namespace hecate::monitoring
