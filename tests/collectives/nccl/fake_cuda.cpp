#include "tests/collectives/nccl/fake_cuda.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "collectives/nccl/reduce.h"
#include "tests/collectives/nccl/fake.h"

namespace hecate::collectives::nccl {
namespace fake {
namespace {

struct Memory {
  std::mutex mutex;
  std::map<uintptr_t, size_t> blocks;
};
Memory& memory() {
  static Memory all;
  return all;
}

struct FakeEvent {
  std::shared_ptr<std::atomic<bool>> reached = std::make_shared<std::atomic<bool>>(true);
};

thread_local int current_device = 0;

}  // namespace

Control& control() {
  static Control one;
  return one;
}

Queue::Queue() : thread_([this] { run(); }) {}

Queue::~Queue() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Queue::add(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_all();
}

void Queue::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return tasks_.empty() && !busy_; });
}

void Queue::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    busy_ = true;
    lock.unlock();
    task();
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

bool on_device(const void* data, size_t bytes) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const auto address = reinterpret_cast<uintptr_t>(data);
  auto block = all.blocks.upper_bound(address);
  if (block == all.blocks.begin()) return false;
  --block;
  return address + bytes <= block->first + block->second;
}

bool require_device(const void* data, size_t bytes) {
  if (bytes == 0 || on_device(data, bytes)) return true;
  ++control().violations;
  return false;
}

}  // namespace fake

// The kernel's stand-in.
void reduce_on_device(cudaStream_t stream, DType type, ReduceOp op, std::span<const Source> inputs,
                      std::byte* output, bool output_wide, int64_t count) {
  const auto bytes = static_cast<size_t>(count) * size_of(type);
  for (const Source& source : inputs) fake::require_device(source.data, bytes);
  fake::require_device(output, bytes);
  fake::queue_of(stream).add([=, all = std::vector<Source>(inputs.begin(), inputs.end())] {
    reduce_in_order(type, op, all, output, output_wide, count);
  });
}

}  // namespace hecate::collectives::nccl

using hecate::collectives::nccl::fake::control;
using hecate::collectives::nccl::fake::FakeEvent;
using hecate::collectives::nccl::fake::memory;
using hecate::collectives::nccl::fake::on_device;
using hecate::collectives::nccl::fake::Queue;
using hecate::collectives::nccl::fake::queue_of;
using hecate::collectives::nccl::fake::require_device;

cudaError_t cudaGetLastError() {
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t) {
  return "a fake error";
}

cudaError_t cudaGetDevice(int* device) {
  *device = hecate::collectives::nccl::fake::current_device;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  hecate::collectives::nccl::fake::current_device = device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = control().devices;
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* data) {
  *attributes = {};
  attributes->type = on_device(data, 1) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest) {
  *lowest = 0;
  *highest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  *stream = reinterpret_cast<cudaStream_t>(new Queue);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete &queue_of(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  queue_of(stream).drain();
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(new FakeEvent);
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete reinterpret_cast<FakeEvent*>(event);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto reached = reinterpret_cast<FakeEvent*>(event)->reached;
  *reached = false;
  queue_of(stream).add([reached] { *reached = true; });
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return *reinterpret_cast<FakeEvent*>(event)->reached ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaMallocAsync(void** data, size_t bytes, cudaStream_t) {
  *data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(*data, 0x5a, bytes);
  const std::lock_guard lock(memory().mutex);
  memory().blocks[reinterpret_cast<uintptr_t>(*data)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
  queue_of(stream).add([data] {
    const std::lock_guard lock(memory().mutex);
    memory().blocks.erase(reinterpret_cast<uintptr_t>(data));
    std::free(data);
  });
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (kind != cudaMemcpyHostToDevice && !require_device(from, bytes)) return cudaErrorInvalidValue;
  if (kind != cudaMemcpyDeviceToHost && !require_device(to, bytes)) return cudaErrorInvalidValue;
  if (kind != cudaMemcpyDeviceToDevice) ++control().staged_copies;
  if (kind == cudaMemcpyHostToDevice) {
    // Pageable memory is read before the call returns.
    const auto* bytes_here = static_cast<const std::byte*>(from);
    queue_of(stream).add([to, copy = std::vector<std::byte>(bytes_here, bytes_here + bytes)] {
      std::memcpy(to, copy.data(), copy.size());
    });
  } else {
    queue_of(stream).add([=] { std::memmove(to, from, bytes); });
  }
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  if (!require_device(data, bytes)) return cudaErrorInvalidValue;
  queue_of(stream).add([=] { std::memset(data, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
  *pool = nullptr;
  return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return cudaSuccess;
}
