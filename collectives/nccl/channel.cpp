#include "collectives/nccl/channel.h"

#include <algorithm>
#include <iostream>
#include <thread>

#include "runtime/base/error.h"

namespace hecate::collectives::nccl {
namespace {

using Clock = std::chrono::steady_clock;

// Between looks at a call that is under way: nothing at first, then naps.
class Patience {
 public:
  explicit Patience(std::chrono::milliseconds limit) : end_(Clock::now() + limit) {}
  /// @return false when the time is over.
  bool wait() {
    constexpr int kYields = 200;
    constexpr std::chrono::microseconds kNap{50};
    if (Clock::now() > end_) return false;
    if (++looks_ < kYields) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kNap);
    }
    return true;
  }

 private:
  Clock::time_point end_;
  int looks_ = 0;
};

}  // namespace

void check_nccl(ncclResult_t result, const char* call) {
  if (result != ncclSuccess && result != ncclInProgress)
    throw CommError(concat(call, ": ", ncclGetErrorString(result)));
}

void send(const void* data, int64_t bytes, int peer, ncclComm_t comm, cudaStream_t stream) {
  if (bytes > 0)
    check_nccl(ncclSend(data, static_cast<size_t>(bytes), ncclUint8, peer, comm, stream),
               "ncclSend");
}

void receive(void* data, int64_t bytes, int peer, ncclComm_t comm, cudaStream_t stream) {
  if (bytes > 0)
    check_nccl(ncclRecv(data, static_cast<size_t>(bytes), ncclUint8, peer, comm, stream),
               "ncclRecv");
}

Channel::Channel(const Communicator& control, int device, bool urgent,
                 std::chrono::milliseconds timeout)
    : device_(device),
      timeout_(timeout),
      own_(urgent),
      stream_(own_.get()),
      token_(sizeof(int32_t), own_.get()) {
  check_cuda(cudaMemsetAsync(token_.data(), 0, sizeof(int32_t), own_.get()), "cudaMemsetAsync");
  connect(control);
}

void Channel::connect(const Communicator& control) {
  ncclUniqueId id{};
  std::string problem;
  if (control.rank() == 0) {
    const ncclResult_t result = ncclGetUniqueId(&id);
    if (result != ncclSuccess) problem = ncclGetErrorString(result);
  }
  // The others learn of a failure too, instead of waiting for rank 0.
  uint8_t failed = problem.empty() ? 0 : 1;
  control.broadcast(&failed, 1, DType::u8, 0).wait();
  if (failed != 0) throw CommError(concat("nccl: rank 0 has no id to connect with: ", problem));
  control.broadcast(&id, sizeof(id), DType::u8, 0).wait();
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const std::lock_guard lock(mutex_);
  check_nccl(ncclCommInitRankConfig(&comm_, control.size(), id, control.rank(), &config),
             "ncclCommInitRankConfig");
  settle("connecting");
}

Channel::~Channel() {
  try {
    close();
  } catch (const std::exception& error) {
    std::cerr << "hecate: closing nccl: " << error.what() << std::endl;
  }
}

void Channel::close() {
  if (comm_ == nullptr) return;
  const DeviceScope scope(device_);
  // Ends when all ranks have come; a destructor does not wait long for them.
  constexpr std::chrono::milliseconds kLimit = std::chrono::seconds(10);
  Patience patience(std::min(timeout_, kLimit));
  ncclResult_t state = ncclCommFinalize(comm_);
  while (state == ncclInProgress && patience.wait()) ncclCommGetAsyncError(comm_, &state);
  if (state == ncclSuccess) {
    ncclCommDestroy(comm_);
    return;
  }
  const std::string why = message(state);
  ncclCommAbort(comm_);
  throw CommError(why);
}

std::string Channel::message(ncclResult_t result) const {
  if (result == ncclInProgress) return "timed out";
  const char* detail = ncclGetLastError(comm_);
  std::string text = ncclGetErrorString(result);
  if (detail != nullptr && *detail != '\0') text += concat(" (", detail, ")");
  return text;
}

void Channel::give_up(const std::string& why) {
  broken_ = why;
  if (comm_ != nullptr) ncclCommAbort(comm_);
  comm_ = nullptr;
}

void Channel::fail(const char* what, const std::string& why) {
  give_up(why);
  throw CommError(concat(what, ": nccl: ", why));
}

void Channel::settle(const char* what) {
  Patience patience(timeout_);
  for (;;) {
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
    if (asked != ncclSuccess) fail(what, message(asked));
    if (state == ncclSuccess) return;
    if (state != ncclInProgress || !patience.wait()) fail(what, message(state));
  }
}

void Channel::group(const char* what, const Calls& calls) {
  const std::lock_guard lock(mutex_);
  if (broken_)
    throw CommError(concat(what, ": this communicator failed in an earlier operation: ", *broken_));
  ncclResult_t result = ncclGroupStart();
  if (result != ncclSuccess) fail(what, message(result));
  std::exception_ptr error;
  try {
    calls(comm_, stream_);
  } catch (...) {
    error = std::current_exception();
  }
  result = ncclGroupEnd();
  if (error || (result != ncclSuccess && result != ncclInProgress)) {
    give_up(message(result));
    if (error) std::rethrow_exception(error);
    throw CommError(concat(what, ": nccl: ", *broken_));
  }
  if (result == ncclInProgress) settle(what);
}

void Channel::barrier() {
  group("barrier", [this](ncclComm_t comm, cudaStream_t stream) {
    check_nccl(ncclAllReduce(token_.data(), token_.data(), 1, ncclInt32, ncclMax, comm, stream),
               "ncclAllReduce");
  });
}

std::string Channel::problem() {
  const std::lock_guard lock(mutex_);
  if (broken_) return *broken_;
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
  if (asked != ncclSuccess) state = asked;
  if (state != ncclSuccess && state != ncclInProgress) give_up(message(state));
  return broken_.value_or("");
}

void Channel::abort(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (!broken_) give_up(why);
}

}  // namespace hecate::collectives::nccl
