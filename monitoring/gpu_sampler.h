#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "monitoring/gpu_reader.h"
#include "runtime/base/metric_sink.h"

namespace hecate::monitoring {

/// Writes this machine's GPUs to a sink now and then, from a thread of its own: the driver's
/// answers take milliseconds. Readers see them after the sink's next publish().
class GpuSampler {
 public:
  /// @param sink outlives the object. @param reader null: there is nothing to write.
  GpuSampler(MetricSink& sink, std::unique_ptr<GpuReader> reader, double every_seconds = 5);
  ~GpuSampler();
  GpuSampler(const GpuSampler&) = delete;
  GpuSampler& operator=(const GpuSampler&) = delete;

 private:
  void run(double every_seconds);
  void sample();

  MetricSink* sink_;
  std::unique_ptr<GpuReader> reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace hecate::monitoring
