#include "launcher/checkpoint/writer.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "launcher/checkpoint/directory.h"
#include "launcher/checkpoint/manifest.h"
#include "launcher/checkpoint/save_job.h"
#include "runtime/io/file.h"
#include "runtime/memory/aligned.h"

namespace hecate::checkpoint {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Grows, never shrinks: the same state is copied every time.
class Staging {
 public:
  Staging() = default;
  ~Staging() { aligned_release(data_); }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Copies the boxes and points the snapshot to the copies.
  void copy(Snapshot& snapshot) {
    size_t bytes = 0;
    for (const TensorSlice& slice : snapshot.slices) bytes += align_up(slice.bytes());
    reserve(bytes);
    std::byte* next = data_;
    for (TensorSlice& slice : snapshot.slices) {
      if (slice.size() == 0) continue;
      std::memcpy(next, slice.data, slice.bytes());
      slice.data = next;
      next += align_up(slice.bytes());
    }
  }
  size_t bytes() const { return bytes_; }

 private:
  void reserve(size_t bytes) {
    if (bytes <= bytes_) return;
    aligned_release(data_);
    data_ = nullptr;
    bytes_ = 0;
    data_ = aligned_allocate(bytes);
    bytes_ = bytes;
  }

  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

void check(const WriterOptions& options) {
  HECATE_CHECK(options.keep >= 1, "checkpoint.keep: ", options.keep, ", at least 1");
  HECATE_CHECK(options.max_file_bytes > 0, "checkpoint: max_file_bytes 0");
  HECATE_CHECK(options.ranks >= 1 && options.rank >= 0 && options.rank < options.ranks,
               "checkpoint: rank ", options.rank, " of ", options.ranks);
  HECATE_CHECK(options.ranks == 1 || options.gather, "checkpoint: ", options.ranks,
               " ranks need a gather");
}

void check(const Snapshot& snapshot, bool copied) {
  HECATE_CHECK(snapshot.step >= 0, "checkpoint: step ", snapshot.step);
  check_extra(snapshot.extra);
  for (const TensorSlice& slice : snapshot.slices) {
    check_slice(slice);
    const bool produced = !copied && slice.produce;
    HECATE_CHECK(slice.data != nullptr || produced || slice.size() == 0, label_of(slice),
                 ": no data to save");
  }
}

}  // namespace

class CheckpointWriter::Impl {
 public:
  explicit Impl(WriterOptions options) : options_(std::move(options)) {
    check(options_);
    if (options_.rank == 0) {
      std::error_code error;
      std::filesystem::create_directories(options_.directory, error);
      if (error) throw io::io_error(options_.directory, "create directory", error.value());
      clean_leftovers(options_.directory);
    }
    thread_ = std::thread([this] { loop(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
    if (error_) log_error();
  }

  void save(Snapshot snapshot, std::shared_ptr<const void> owner) {
    const auto start = std::chrono::steady_clock::now();
    check(snapshot, /*copied=*/!owner);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !job_; });
    rethrow();
    if (!owner) staging_.copy(snapshot);
    job_ = Job{std::move(snapshot), std::move(owner), seconds_since(start)};
    lock.unlock();
    changed_.notify_all();
  }

  bool busy() {
    const std::lock_guard lock(mutex_);
    return job_.has_value();
  }

  std::vector<SaveReport> collect(bool wait) {
    std::unique_lock lock(mutex_);
    if (wait) changed_.wait(lock, [&] { return !job_; });
    rethrow();
    return std::exchange(finished_, {});
  }

  size_t staging_bytes() {
    const std::lock_guard lock(mutex_);
    return staging_.bytes();
  }

 private:
  struct Job {
    Snapshot snapshot;
    std::shared_ptr<const void> owner;
    double staging_seconds = 0;
  };

  /// With the mutex held.
  void rethrow() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  void loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return job_ || stopping_; });
      if (!job_) return;
      lock.unlock();
      // job_ stays in place and untouched by save() until it is reset below.
      std::optional<SaveReport> report;
      std::exception_ptr error;
      try {
        report = run_save(options_, job_->snapshot);
        report->staging_seconds = job_->staging_seconds;
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      job_.reset();
      if (report) finished_.push_back(std::move(*report));
      error_ = error;
      changed_.notify_all();
    }
  }

  void log_error() noexcept {
    try {
      std::rethrow_exception(error_);
    } catch (const std::exception& error) {
      spdlog::error("{}", error.what());
    } catch (...) {
      spdlog::error("checkpoint: unknown error");
    }
  }

  const WriterOptions options_;
  Staging staging_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Job> job_;
  std::vector<SaveReport> finished_;
  std::exception_ptr error_;
  bool stopping_ = false;
  std::thread thread_;
};

CheckpointWriter::CheckpointWriter(WriterOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::save(const Snapshot& snapshot) {
  impl_->save(snapshot, nullptr);
}

void CheckpointWriter::save(Snapshot snapshot, std::shared_ptr<const void> owner) {
  HECATE_CHECK(owner, "checkpoint: save without a copy needs an owner of the memory");
  impl_->save(std::move(snapshot), std::move(owner));
}

bool CheckpointWriter::busy() const {
  return impl_->busy();
}

std::vector<SaveReport> CheckpointWriter::poll() {
  return impl_->collect(/*wait=*/false);
}

std::vector<SaveReport> CheckpointWriter::wait() {
  return impl_->collect(/*wait=*/true);
}

size_t CheckpointWriter::staging_bytes() const {
  return impl_->staging_bytes();
}

}  // namespace hecate::checkpoint
