#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>

namespace hecate {

/// Non-owning reference to a callable; valid while the callable lives. Allocates nothing.
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT: implicit by design
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// Workers for the loops inside one kernel. One caller at a time (the lane that owns the pool).
/// The calling thread works too, so `threads == 1` starts no thread at all. Idle workers spin for
/// about 20 microseconds (not at all when `spin` is false: paced and oversubscribed runs), then
/// sleep.
class ThreadPool {
 public:
  explicit ThreadPool(int threads, bool spin = true);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  /// Calls task(index, worker) for every index in [0, count), 0 <= worker < threads(); returns when
  /// all are done. Indices are handed out dynamically in rising order, so a result must not depend
  /// on the worker. The first exception is rethrown here after the others have finished.
  void parallel_for(int64_t count, FunctionRef<void(int64_t index, int worker)> task);

  /// Splits [0, size) into at most 4 x threads() ranges whose starts are multiples of `grain` and
  /// calls body(begin, end, worker) on each.
  void parallel_ranges(int64_t size, int64_t grain,
                       FunctionRef<void(int64_t begin, int64_t end, int worker)> body);

  /// Scratch of one worker, 64-byte aligned, valid until that worker asks again. Grows on demand.
  std::byte* scratch(int worker, size_t bytes);

  /// Scratch bytes held now.
  size_t scratch_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hecate
