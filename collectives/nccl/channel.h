#pragma once
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "collectives/communicator.h"
#include "collectives/nccl/device.h"

namespace hecate::collectives::nccl {

/// One NCCL communicator and the stream that orders what it does. Calls of NCCL never block: they
/// are polled, with a limit, so that a dead peer can be told and the communicator aborted.
/// Thread-safe.
class Channel {
 public:
  /// All ranks of `control`, which exchanges NCCL's id, must call, with `device` current.
  Channel(const Communicator& control, int device, bool urgent, std::chrono::milliseconds timeout);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  cudaStream_t stream() const { return stream_; }
  /// Null: the channel's own.
  void use(cudaStream_t stream) { stream_ = stream == nullptr ? own_.get() : stream; }

  using Calls = std::function<void(ncclComm_t, cudaStream_t)>;
  /// Makes the calls as one group. @throws CommError naming `what` when NCCL fails or does not
  /// answer in time; then the channel is broken.
  void group(const char* what, const Calls& calls);
  void barrier();

  /// Why the channel is unusable, from now on also what NCCL found by itself; empty: it is not.
  std::string problem();
  /// Ends what is under way and makes the channel unusable.
  void abort(const std::string& why);

 private:
  void connect(const Communicator& control);
  void close();
  // With the mutex held:
  void settle(const char* what);
  [[noreturn]] void fail(const char* what, const std::string& why);
  void give_up(const std::string& why);
  std::string message(ncclResult_t result) const;

  int device_;
  std::chrono::milliseconds timeout_;
  Stream own_;
  cudaStream_t stream_;
  StreamMemory token_;  // what a barrier adds up
  std::mutex mutex_;
  ncclComm_t comm_ = nullptr;
  std::optional<std::string> broken_;
};

/// @throws CommError with the library's message unless the result is success or under way.
void check_nccl(ncclResult_t result, const char* call);

/// Inside a group. Nothing is sent for no bytes.
void send(const void* data, int64_t bytes, int peer, ncclComm_t comm, cudaStream_t stream);
void receive(void* data, int64_t bytes, int peer, ncclComm_t comm, cudaStream_t stream);

}  // namespace hecate::collectives::nccl
