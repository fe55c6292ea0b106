#pragma once
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <thread>
#include <vector>

#include "runtime/base/real.h"
#include "runtime/base/rng.h"
#include "runtime/device/stream.h"
#include "runtime/kernels/peak.h"

/// Timing of kernels on a shared machine: every sample is paired with a short multiply-add loop, so
/// that `of_peak` is a ratio within one run.
namespace hecate::benchmarks {

/// All cores.
inline int threads() {
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

struct Device {
  ThreadPool pool{threads()};
  CpuStream stream{pool};
};

inline std::vector<Real> normal(int64_t size, uint64_t seed) {
  std::vector<Real> values(static_cast<size_t>(size));
  const CounterRng rng(seed, 0);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<Real>(rng.normal(i));
  return values;
}

inline double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size()) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Wall and CPU seconds (of all threads) that `work` takes.
struct Cost {
  double wall = 0, cpu = 0;
};
template <class Work>
Cost cost_of(const Work& work) {
  const auto cpu_seconds = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  const double cpu = cpu_seconds();
  const auto begin = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
  return {.wall = wall.count(), .cpu = cpu_seconds() - cpu};
}

/// Times `kernel`. Medians: GFLOP/s and GB/s by wall time; `of_peak` the ratio to the multiply-add
/// loop just before, by wall time; `of_peak_cpu` the same by CPU time, which others' load on the
/// machine disturbs less (and which does not see threads that wait).
template <class Kernel>
void measure(benchmark::State& state, Device& device, double flops, double bytes,
             const Kernel& kernel) {
  std::vector<double> seconds, ratios, cpu_ratios;
  for (int i = 0; i < 3; ++i) kernel();
  for (auto _ : state) {
    double rate = 1;
    const Cost peak = cost_of([&] {
      if (flops > 0) rate = kernels::measure_peak_flops(device.stream, 2e-3);
    });
    const Cost cost = cost_of(kernel);
    state.SetIterationTime(cost.wall);
    seconds.push_back(cost.wall);
    ratios.push_back(flops / cost.wall / rate);
    cpu_ratios.push_back(flops / cost.cpu / (rate * peak.wall / peak.cpu));
  }
  const double typical = median(seconds);
  if (flops > 0) {
    state.counters["GFLOP/s"] = flops / typical * 1e-9;
    state.counters["of_peak"] = median(ratios);
    state.counters["of_peak_cpu"] = median(cpu_ratios);
  }
  if (bytes > 0) state.counters["GB/s"] = bytes / typical * 1e-9;
}

}  // namespace hecate::benchmarks
