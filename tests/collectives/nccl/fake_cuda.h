#pragma once
#include <cuda_runtime_api.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace hecate::collectives::nccl::fake {

/// What a cudaStream_t points to.
class Queue {
 public:
  Queue();
  ~Queue();
  void add(std::function<void()> task);
  void drain();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool busy_ = false, stop_ = false;
  std::thread thread_;
};
inline Queue& queue_of(cudaStream_t stream) {
  return *reinterpret_cast<Queue*>(stream);
}

/// Whether [data, data + bytes) is device memory.
bool on_device(const void* data, size_t bytes);
/// Counts a violation unless it is.
bool require_device(const void* data, size_t bytes);

}  // namespace hecate::collectives::nccl::fake
