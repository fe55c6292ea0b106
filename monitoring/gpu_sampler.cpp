#include "monitoring/gpu_sampler.h"

#include <chrono>
#include <string>
#include <utility>

#include "monitoring/blocked_signals.h"

namespace hecate::monitoring {
namespace {

constexpr MetricFamily kBusy = {"hecate_gpu_utilization_ratio",
                                "Share of the time in which a kernel ran on the GPU."};
constexpr MetricFamily kUsed = {"hecate_gpu_memory_used_bytes",
                                "Memory of the GPU that is in use, by anybody."};
constexpr MetricFamily kTotal = {"hecate_gpu_memory_size_bytes", "Memory of the GPU."};

}  // namespace

GpuSampler::GpuSampler(MetricSink& sink, std::unique_ptr<GpuReader> reader, double every_seconds)
    : sink_(&sink), reader_(std::move(reader)) {
  if (!reader_) return;
  const BlockedSignals blocked;
  thread_ = std::thread([this, every_seconds] { run(every_seconds); });
}

GpuSampler::~GpuSampler() {
  if (!reader_) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void GpuSampler::run(double every_seconds) {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    lock.unlock();
    sample();
    lock.lock();
    changed_.wait_for(lock, std::chrono::duration<double>(every_seconds), [this] { return stop_; });
  }
}

void GpuSampler::sample() {
  for (const GpuSample& gpu : reader_->read()) {
    const MetricLabels label = {{"gpu", std::to_string(gpu.index)}};
    sink_->set(sink_->series(kBusy, label), gpu.utilization);
    sink_->set(sink_->series(kUsed, label), gpu.memory_used_bytes);
    sink_->set(sink_->series(kTotal, label), gpu.memory_total_bytes);
  }
}

}  // namespace hecate::monitoring
