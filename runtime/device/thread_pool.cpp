#include "runtime/device/thread_pool.h"

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/memory/aligned.h"

namespace hecate {
namespace {

constexpr auto kSpin = std::chrono::microseconds(20);

struct Scratch {
  std::byte* data = nullptr;
  size_t capacity = 0;
};

}  // namespace

struct ThreadPool::State {
  int threads = 1;
  bool spin = true;
  std::vector<std::thread> workers;
  std::vector<Scratch> scratch;

  // A loop is published by raising `generation`; workers that have left it are counted in `done`.
  std::atomic<uint32_t> generation{0};
  std::atomic<uint32_t> done{0};
  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};
  int64_t count = 0;
  const FunctionRef<void(int64_t, int)>* task = nullptr;
  std::mutex error_mutex;
  std::exception_ptr error;

  void work(int worker) {
    try {
      for (int64_t i = next.fetch_add(1, std::memory_order_relaxed); i < count;
           i = next.fetch_add(1, std::memory_order_relaxed))
        (*task)(i, worker);
    } catch (...) {
      next.store(count, std::memory_order_relaxed);
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  }

  // Returns when `word` no longer holds `old`: spins briefly, then sleeps.
  void wait_change(const std::atomic<uint32_t>& word, uint32_t old) const {
    if (spin) {
      const auto deadline = std::chrono::steady_clock::now() + kSpin;
      do {
        for (int i = 0; i < 64; ++i) {
          if (word.load(std::memory_order_acquire) != old) return;
          _mm_pause();
        }
      } while (std::chrono::steady_clock::now() < deadline);
    }
    word.wait(old, std::memory_order_acquire);
  }

  void run_worker(int worker) {
    uint32_t seen = 0;
    for (;;) {
      wait_change(generation, seen);
      ++seen;
      if (stop.load(std::memory_order_acquire)) return;
      work(worker);
      if (done.fetch_add(1, std::memory_order_acq_rel) + 2 == static_cast<uint32_t>(threads))
        done.notify_one();
    }
  }

  void end_workers() {
    stop.store(true, std::memory_order_release);
    generation.fetch_add(1, std::memory_order_acq_rel);
    generation.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  void wait_workers() const {
    const auto target = static_cast<uint32_t>(threads - 1);
    for (uint32_t seen = done.load(std::memory_order_acquire); seen != target;
         seen = done.load(std::memory_order_acquire))
      wait_change(done, seen);
  }
};

ThreadPool::ThreadPool(int threads, bool spin) : state_(std::make_unique<State>()) {
  HECATE_CHECK(threads >= 1, "ThreadPool: ", threads, " threads, at least 1");
  state_->threads = threads;
  state_->spin = spin && static_cast<unsigned>(threads) <= std::thread::hardware_concurrency();
  state_->scratch.resize(static_cast<size_t>(threads));
  try {
    for (int worker = 1; worker < threads; ++worker)
      state_->workers.emplace_back([state = state_.get(), worker] { state->run_worker(worker); });
  } catch (const std::exception& error) {
    const size_t started = state_->workers.size() + 1;
    state_->end_workers();
    throw DeviceError(concat("cannot start ", threads, " compute threads (device.threads), got ",
                             started, ": ", error.what()));
  }
}

ThreadPool::~ThreadPool() {
  state_->end_workers();
  for (Scratch& scratch : state_->scratch) aligned_release(scratch.data);
}

int ThreadPool::threads() const {
  return state_->threads;
}

void ThreadPool::parallel_for(int64_t count, FunctionRef<void(int64_t, int)> task) {
  if (state_->threads == 1 || count <= 1) {
    for (int64_t i = 0; i < count; ++i) task(i, 0);
    return;
  }
  state_->count = count;
  state_->task = &task;
  state_->next.store(0, std::memory_order_relaxed);
  state_->done.store(0, std::memory_order_relaxed);
  state_->generation.fetch_add(1, std::memory_order_acq_rel);
  state_->generation.notify_all();
  state_->work(0);
  state_->wait_workers();
  if (state_->error) std::rethrow_exception(std::exchange(state_->error, nullptr));
}

void ThreadPool::parallel_ranges(int64_t size, int64_t grain,
                                 FunctionRef<void(int64_t, int64_t, int)> body) {
  if (size <= 0) return;
  const int64_t grains = (size + grain - 1) / grain;
  const int64_t ranges = std::min<int64_t>(grains, threads() == 1 ? 1 : int64_t{4} * threads());
  parallel_for(ranges, [&](int64_t range, int worker) {
    const int64_t begin = grains * range / ranges * grain;
    const int64_t end = std::min(size, grains * (range + 1) / ranges * grain);
    body(begin, end, worker);
  });
}

std::byte* ThreadPool::scratch(int worker, size_t bytes) {
  Scratch& scratch = state_->scratch[static_cast<size_t>(worker)];
  if (bytes > scratch.capacity) {
    aligned_release(scratch.data);
    scratch = {};
    scratch.data = aligned_allocate(bytes);
    scratch.capacity = bytes;
  }
  return scratch.data;
}

size_t ThreadPool::scratch_bytes() const {
  size_t total = 0;
  for (const Scratch& scratch : state_->scratch) total += scratch.capacity;
  return total;
}

}  // namespace hecate
