#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/metric_sink.h"

namespace hecate::monitoring {

/// One member of a population, as its controller sees it now.
struct MemberState {
  std::string name;   ///< short and of few values: "0", "1", ...
  bool alive = true;  ///< false: it was lost and is not back yet
  int64_t step = 0;
  double score = 0;      ///< what members are compared by
  double last_seen = 0;  ///< seconds since 1970; 0: never
  int64_t exploits = 0;  ///< times it took over another member's state, since the start
  std::vector<std::pair<std::string, double>> hyper_parameters = {};  ///< name, value
};

/// Writes a population's members to a sink. Series of members that are no longer among them go.
class PopulationMetrics {
 public:
  /// @param sink outlives the object.
  explicit PopulationMetrics(MetricSink& sink) : sink_(&sink) {}

  /// Everything that is known of all members; publishes.
  void write(std::span<const MemberState> members);

 private:
  void set(const MetricFamily& family, const MetricLabels& labels, double value);

  MetricSink* sink_;
  std::vector<SeriesId> shown_;
};

}  // namespace hecate::monitoring
