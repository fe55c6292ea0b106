#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>

#include "collectives/engine/engine.h"

namespace hecate::collectives {
namespace {

using std::chrono::microseconds;
using Clock = std::chrono::steady_clock;

// After the last movement: poll this long (giving way to others), then nap, longer and longer.
constexpr microseconds kSpin{60};
constexpr microseconds kFirstNap{10};
constexpr microseconds kLongestNap{100};
// A wait this long bears a longer nap: it then costs 3 % of a processor, not 15 % (measured).
constexpr microseconds kLongWait{20000};
constexpr microseconds kLongWaitNap{1000};
// With nothing to do at all only a doorbell can bring work.
constexpr std::chrono::seconds kIdle{3600};

}  // namespace

void ProgressLoop::run(const std::vector<Engine*>& engines, Doorbell& doorbell,
                       const std::atomic<bool>& stop, bool external_events,
                       const std::function<void()>& on_wake) {
  prctl(PR_SET_TIMERSLACK, 1000UL);  // nanoseconds; the default would triple a short nap
  auto last_moved = Clock::now();
  microseconds nap = kFirstNap;
  for (;;) {
    bool moved = false, idle = true;
    for (Engine* engine : engines) {
      moved |= engine->progress();
      idle &= engine->idle();
    }
    if (moved) {
      last_moved = Clock::now();
      nap = kFirstNap;
    } else if (idle) {
      if (stop) return;
      // A bell may ring soon after the last operation: worth a short look before real sleep.
      if (external_events && Clock::now() - last_moved < kSpin) {
        if (on_wake) on_wake();
        sched_yield();
        continue;
      }
      doorbell.sleep(kIdle);
      if (on_wake) on_wake();
      last_moved = Clock::now();
    } else if (!external_events) {
      // Everything that can happen comes from the engines' own submissions.
      doorbell.sleep(kIdle);
    } else if (Clock::now() - last_moved < kSpin) {
      sched_yield();
    } else {
      doorbell.sleep(nap);
      const bool long_wait = Clock::now() - last_moved > kLongWait;
      nap = std::min(nap * 2, long_wait ? kLongWaitNap : kLongestNap);
    }
  }
}

}  // namespace hecate::collectives
