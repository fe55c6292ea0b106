#include "runtime/device/lane.h"

#include <pthread.h>

#include <array>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

namespace hecate {

std::string_view name_of(LaneKind kind) {
  constexpr std::array<std::string_view, kLanes> kNames = {"compute", "dispatch", "sparse", "dense",
                                                           "host"};
  return kNames[static_cast<size_t>(kind)];
}

struct Lane::State {
  // Either a task, or a wait for another lane's ticket.
  struct Entry {
    Task task;
    State* other = nullptr;
    int64_t ticket = 0;
  };

  LaneKind kind{};
  std::unique_ptr<Stream> stream;
  std::mutex mutex;
  std::condition_variable work, progress;
  std::deque<Entry> queue;
  int64_t submitted = 0;
  int64_t completed = 0;
  bool busy = false;
  bool stop = false;
  // The last failure: its tickets did not run. It outlives `pending`, because a lane may come to
  // wait for one of them when the caller has heard of the error already.
  std::exception_ptr error;
  int64_t first_failed = 0, last_failed = 0;
  bool pending = false;  // not rethrown yet; what is submitted now is skipped
  std::thread thread;

  // Blocks until `ticket` is complete. @return the error if it did not run.
  std::exception_ptr await(int64_t ticket) {
    std::unique_lock lock(mutex);
    progress.wait(lock, [&] { return completed >= ticket; });
    return ticket >= first_failed && ticket <= last_failed ? error : nullptr;
  }

  void fail(std::exception_ptr failure) {
    error = std::move(failure);
    first_failed = completed + 1;
    pending = true;
  }

  // With nothing left to run: rethrows a pending error.
  void settle() {
    if (!std::exchange(pending, false)) return;
    std::rethrow_exception(error);
  }

  std::exception_ptr execute(const Entry& entry) {
    try {
      if (entry.other != nullptr) return entry.other->await(entry.ticket);
      entry.task.call(entry.task.object, entry.task.argument, *stream);
      return nullptr;
    } catch (...) {
      return std::current_exception();
    }
  }

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      work.wait(lock, [&] { return stop || !queue.empty(); });
      if (queue.empty()) return;
      const Entry entry = queue.front();
      queue.pop_front();
      busy = true;
      const bool skip = pending;
      lock.unlock();
      std::exception_ptr failure = skip ? nullptr : execute(entry);
      lock.lock();
      busy = false;
      if (failure) fail(std::move(failure));
      if (entry.other == nullptr) ++completed;
      if (pending) last_failed = completed;
      progress.notify_all();
    }
  }

  bool idle() const { return queue.empty() && !busy; }
};

Lane::Lane(LaneKind kind, std::unique_ptr<Stream> stream) : state_(std::make_unique<State>()) {
  state_->kind = kind;
  state_->stream = std::move(stream);
  state_->thread = std::thread([state = state_.get()] { state->run(); });
  pthread_setname_np(state_->thread.native_handle(),
                     ("lane-" + std::string(name_of(kind))).c_str());
}

Lane::~Lane() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->work.notify_one();
  state_->thread.join();
}

LaneKind Lane::kind() const {
  return state_->kind;
}

Stream& Lane::stream() {
  return *state_->stream;
}

int64_t Lane::submit(const Task& task) {
  int64_t ticket = 0;
  {
    const std::lock_guard lock(state_->mutex);
    state_->queue.push_back({.task = task, .other = nullptr, .ticket = 0});
    ticket = ++state_->submitted;
  }
  state_->work.notify_one();
  return ticket;
}

void Lane::wait_for(Lane& other, int64_t ticket) {
  if (&other == this) return;
  {
    const std::lock_guard lock(state_->mutex);
    state_->queue.push_back({.task = {}, .other = other.state_.get(), .ticket = ticket});
  }
  state_->work.notify_one();
}

int64_t Lane::completed() const {
  const std::lock_guard lock(state_->mutex);
  return state_->completed;
}

void Lane::synchronize() {
  std::unique_lock lock(state_->mutex);
  state_->progress.wait(lock, [&] { return state_->idle(); });
  state_->settle();
}

bool Lane::synchronize_for(std::chrono::nanoseconds timeout) {
  std::unique_lock lock(state_->mutex);
  if (!state_->progress.wait_for(lock, timeout, [&] { return state_->idle(); })) return false;
  state_->settle();
  return true;
}

}  // namespace hecate
