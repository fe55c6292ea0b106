#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/device/stream.h"

/// Lanes: the ordered queues that a step's operations run on.
namespace hecate {

enum class LaneKind : uint8_t {
  compute,   ///< kernels
  dispatch,  ///< token exchange: latency-critical
  sparse,    ///< gathers and reductions of experts: bulk
  dense,     ///< gathers and reductions of dense parameters
  host,      ///< work of the CPU that device work waits for, such as reading routing counts
};
inline constexpr size_t kLanes = 5;
std::string_view name_of(LaneKind kind);

/// An in-order task queue. On the CPU it has its own thread, which sleeps while there is nothing
/// to do. submit() and wait_for() may be called by one thread at a time (the executor's).
///
/// A task that throws stops its lane: later tasks are skipped, lanes that wait for it stop too, and
/// the first error is rethrown by synchronize(), after which the lane works again.
class Lane {
 public:
  /// A callable and its argument; both outlive the execution. No allocation.
  struct Task {
    void (*call)(void* object, int64_t argument, Stream& stream) = nullptr;
    void* object = nullptr;
    int64_t argument = 0;
  };

  Lane(LaneKind kind, std::unique_ptr<Stream> stream);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  LaneKind kind() const;
  Stream& stream();

  /// Appends a task. @return its ticket: 1, 2, ...; a task is complete when completed() >= ticket.
  int64_t submit(const Task& task);
  /// Later tasks of this lane start only when `ticket` of `other` is complete.
  void wait_for(Lane& other, int64_t ticket);
  int64_t completed() const;
  /// Blocks until everything submitted has run or was skipped. @throws the first task's error.
  void synchronize();
  /// The same with a limit. @return false when it passed first (nothing is rethrown then).
  bool synchronize_for(std::chrono::nanoseconds timeout);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hecate
