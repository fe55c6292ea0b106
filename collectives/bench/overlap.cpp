#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "collectives/bench/bulk.h"

namespace hecate::collectives::bench {
namespace {

// Fused multiply-adds that cannot be optimised away; about a millisecond per 10^6 steps.
float compute(int64_t steps) {
  float lanes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (int64_t i = 0; i < steps; ++i)
    for (float& lane : lanes) lane = lane * 0.999999f + 1e-6f;
  float sum = 0;
  for (float lane : lanes) sum += lane;
  return sum;
}

// Steps of compute() that take about `seconds` while nothing else runs, at this length: over a
// shorter one a processor may be faster. The same on all ranks.
int64_t steps_for(const Communicator& world, double seconds) {
  double steps = 2e6;
  for (int i = 0; i < 4; ++i) {
    const double taken = measure(
        world, 1, [&] { verify(compute(static_cast<int64_t>(steps)) > 0, "overlap compute"); });
    steps *= seconds / taken;
  }
  return static_cast<int64_t>(steps);
}

// Seconds that this machine's processors have been busy, all of them together.
double busy_seconds() {
  std::ifstream file("/proc/stat");
  std::string name;
  double user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupts = 0, soft = 0;
  file >> name >> user >> nice >> system >> idle >> waiting >> interrupts >> soft;
  constexpr double kTicksPerSecond = 100;
  return (user + nice + system + interrupts + soft) / kTicksPerSecond;
}

void overlap_with(const Context& context, const Bulk& bulk, const char* device, double gather,
                  double gather_busy, const std::function<void()>& work) {
  const int repetitions = context.options.repetitions;
  const double alone = measure(context.world, repetitions, work);
  const double both = measure(context.world, repetitions, [&] {
    const Work transfer = bulk.start();
    work();
    transfer.wait();
  });
  context.report(Record("overlap", device)
                     .add("gather_ms", gather * 1e3)
                     .add("gather_busy_ms", gather_busy * 1e3)
                     .add("compute_ms", alone * 1e3)
                     .add("both_ms", both * 1e3)
                     .add("over_longer", both / std::max(gather, alone)));
}

}  // namespace

void run_overlap(const Context& context) {
  constexpr int64_t kBytes = 8 << 20;
  const Bulk bulk(context, kBytes);
  const int repetitions = context.options.repetitions;
  bulk.start().wait();
  const double before = busy_seconds();
  const double gather = measure(context.world, repetitions, [&] { bulk.start().wait(); });
  const double busy = (busy_seconds() - before) / (repetitions + 1);
  overlap_with(context, bulk, "paced", gather, busy,
               [&] { std::this_thread::sleep_for(std::chrono::duration<double>(gather)); });
  const int64_t steps = steps_for(context.world, gather);
  overlap_with(context, bulk, "real", gather, busy,
               [&] { verify(compute(steps) > 0, "overlap compute"); });
}

}  // namespace hecate::collectives::bench
