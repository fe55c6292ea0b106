#include "runtime/kernels/peak.h"

#include <atomic>
#include <chrono>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/peak.h"
#include "runtime/kernels/elementwise.h"

namespace hecate::kernels {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

constexpr int64_t kRounds = 20000;  // about 0.1 ms

}  // namespace

double measure_peak_flops(Stream& s, double seconds) {
  ThreadPool& pool = cpu_stream(s, "measure_peak_flops").pool();
  std::atomic<double> sink{0};
  std::atomic<int64_t> flops{0};
  const auto begin = Clock::now();
  const auto end =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  pool.parallel_for(pool.threads(), [&](int64_t, int) {
    double sum = 0;
    int64_t done = 0;
    while (Clock::now() < end) done += HECATE_ISA_CALL(fma_rounds, kRounds, &sum);
    flops += done;
    sink.store(sum);  // so that the loop cannot be removed
  });
  return static_cast<double>(flops.load()) / seconds_since(begin);
}

double measure_memory_rate(Stream& s, View<Real> x, double seconds) {
  const auto begin = Clock::now();
  double bytes = 0, passed = 0;
  do {
    scale(s, Real{1}, x);
    s.synchronize();
    bytes += 2.0 * sizeof(Real) * static_cast<double>(x.size());
    passed = seconds_since(begin);
  } while (passed < seconds);
  return bytes / passed;
}

}  // namespace hecate::kernels
