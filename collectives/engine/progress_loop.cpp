#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "collectives/engine/engine.h"

namespace hecate::collectives {
namespace {

using std::chrono::microseconds;
using Clock = std::chrono::steady_clock;

// After the last operation: poll this long (giving way to others) before real sleep. While one is
// active the engine says how long; then naps, longer and longer.
constexpr microseconds kSpin{60};
constexpr microseconds kFirstNap{10};
constexpr microseconds kLongestNap{100};
// A wait this long bears a longer nap: it then costs 3 % of a processor, not 15 % (measured).
constexpr microseconds kLongWait{20000};
constexpr microseconds kLongWaitNap{1000};
// Until what gives way to urgent operations is looked at again.
constexpr microseconds kPutOff{1000};
// With nothing to do at all only a doorbell can bring work.
constexpr std::chrono::seconds kIdle{3600};

// sched_attr of linux/sched/types.h, which cannot be included beside sched.h.
struct SchedulingAttributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime_ns, deadline, period;
};

// This thread runs for moments at a time and wants each soon. Kernels that know slices of a
// thread's own (Linux 6.12) then let it go before a thread that computes; others ignore the
// request.
void ask_for_short_slices() {
  constexpr uint64_t kSliceNanoseconds = 100'000;
  SchedulingAttributes attributes{};
  const long known = syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0);
  if (known != 0 || attributes.policy != SCHED_OTHER) return;
  attributes.runtime_ns = kSliceNanoseconds;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace

void ProgressLoop::run(const std::vector<Engine*>& engines, Doorbell& doorbell,
                       const std::atomic<bool>& stop, bool external_events,
                       const std::function<void()>& on_wake) {
  ask_for_short_slices();
  prctl(PR_SET_TIMERSLACK, 1000UL);  // nanoseconds; the default would triple a short nap
  auto last_moved = Clock::now();
  microseconds nap = kFirstNap;
  for (;;) {
    bool moved = false, idle = true, held_back = false;
    microseconds attention{0};
    for (Engine* engine : engines) {
      moved |= engine->progress();
      idle &= engine->idle();
      held_back |= engine->holds_back();
      attention = std::max(attention, engine->attention());
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
      // Everything that can happen comes from the engines' own submissions, or was put off.
      doorbell.sleep(held_back ? std::chrono::nanoseconds(kPutOff) : kIdle);
    } else if (Clock::now() - last_moved < attention) {
      sched_yield();
    } else {
      doorbell.sleep(nap);
      const bool long_wait = Clock::now() - last_moved > kLongWait;
      nap = std::min(nap * 2, long_wait ? kLongWaitNap : kLongestNap);
    }
  }
}

}  // namespace hecate::collectives
