#pragma once
#include <cstdint>
#include <string>
#include <vector>

/// Where any layer reports what it measures, without knowing who reads it.
namespace hecate {

enum class MetricKind : uint8_t {
  gauge,    ///< goes up and down
  counter,  ///< only grows, but for restarts; its name ends in _total
};

/// One quantity. Names follow Prometheus's conventions: hecate_, snake_case, the base unit last
/// (seconds, bytes, ratio), then _total for counters.
struct MetricFamily {
  const char* name;
  const char* help;
  MetricKind kind = MetricKind::gauge;
};

struct MetricLabel {
  std::string name, value;
  bool operator==(const MetricLabel&) const = default;
};
using MetricLabels = std::vector<MetricLabel>;

/// One time series of a sink.
enum class SeriesId : int32_t {};
/// Whatever is set of it is lost.
inline constexpr SeriesId kNoSeries{-1};

/// Takes values; readers see those of the last publish(), all of one moment. Thread-safe. Nothing
/// blocks on a reader.
class MetricSink {
 public:
  virtual ~MetricSink() = default;

  /// The series of these labels; the same one again for equal labels in equal order. What has never
  /// been set has no value and is not shown.
  /// @return kNoSeries, and a warning once, where the sink holds as many as it may.
  virtual SeriesId series(const MetricFamily& family, const MetricLabels& labels) = 0;
  virtual void set(SeriesId series, double value) = 0;
  /// From 0 where it had no value.
  virtual void add(SeriesId series, double value) = 0;
  /// No longer shown, until it is set again.
  virtual void clear(SeriesId series) = 0;
  virtual void publish() = 0;
};

}  // namespace hecate
