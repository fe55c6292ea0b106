#pragma once
#include <atomic>
#include <cstdint>

/// CUDA's runtime and NCCL as far as collectives/nccl uses them, on host threads: a stream is a
/// thread with a queue, device memory is host memory that only "device" calls may use, and every
/// NCCL call is asynchronous and non-blocking. Stricter than the real ones: a group's transfers
/// with a peer must be one group's at that peer, and buffers must be device memory.
namespace hecate::collectives::nccl::fake {

struct Control {
  std::atomic<int> devices{64};
  /// Copies between host and device so far.
  std::atomic<int64_t> staged_copies{0};
  /// A rank whose communicators report an error from now on; -1: none.
  std::atomic<int> failing_rank{-1};
  std::atomic<int> aborts{0};
  /// Calls that broke a rule (host memory, groups that differ): the tests expect none.
  std::atomic<int> violations{0};
};
Control& control();

}  // namespace hecate::collectives::nccl::fake
