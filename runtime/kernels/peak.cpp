#include "runtime/kernels/peak.h"

#include <atomic>
#include <chrono>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/peak.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kRounds = 20000;  // about 0.1 ms

}  // namespace

double measure_peak_flops(Stream& s, double seconds) {
  using Clock = std::chrono::steady_clock;
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
  return static_cast<double>(flops.load()) /
         std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace hecate::kernels
