#include <nccl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "collectives/engine/reduce.h"
#include "tests/collectives/nccl/fake.h"
#include "tests/collectives/nccl/fake_cuda.h"

namespace hecate::collectives::nccl::fake {
namespace {

enum class Kind { broadcast, reduce, all_reduce, reduce_scatter, all_gather, send, receive };

struct Call {
  Kind kind{};
  const std::byte* in = nullptr;
  std::byte* out = nullptr;
  size_t count = 0;
  ncclDataType_t type{};
  ncclRedOp_t op{};
  int peer = 0;  // or root
};

DType dtype(ncclDataType_t type) {
  switch (type) {
    case ncclFloat64:
      return DType::f64;
    case ncclFloat32:
      return DType::f32;
    case ncclBfloat16:
      return DType::bf16;
    case ncclInt64:
      return DType::i64;
    case ncclInt32:
      return DType::i32;
    default:
      return DType::u8;
  }
}

size_t bytes_of(const Call& call) {
  return call.count * size_of(dtype(call.type));
}

// One collective in the making.
struct Meeting {
  std::vector<Call> calls;
  std::vector<bool> here;
  size_t arrived = 0;
  bool over = false, left = false;  // left: by a rank that gave up
};

// What one group sends one peer.
struct Bundle {
  std::vector<Call> sends;
  bool taken = false;
};

}  // namespace

// The ranks that share an id.
struct Clique {
  std::mutex mutex;
  std::condition_variable changed;
  size_t size = 0, joined = 0;
  std::map<size_t, Meeting> meetings;  // by number
  std::map<std::pair<int, int>, std::deque<std::shared_ptr<Bundle>>> channels;
};

}  // namespace hecate::collectives::nccl::fake

namespace fake = hecate::collectives::nccl::fake;

struct ncclComm {
  std::shared_ptr<fake::Clique> clique;
  int rank = 0;
  size_t next_meeting = 0;
  std::shared_ptr<std::atomic<bool>> aborted = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<std::atomic<int>> error = std::make_shared<std::atomic<int>>(ncclSuccess);
  std::atomic<int> looks_until_launched{0};  // a group takes a moment to start
};

namespace hecate::collectives::nccl::fake {
namespace {

struct Cliques {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Clique>> by_id;
  int next_id = 0;
};
Cliques& cliques() {
  static Cliques all;
  return all;
}

struct Grouped {
  ncclComm_t comm;
  cudaStream_t stream;
  Call call;
};
thread_local int group_depth = 0;
thread_local std::vector<Grouped> grouped;

ReduceOp reduce_op(ncclRedOp_t op) {
  return op == ncclSum ? ReduceOp::sum : op == ncclMax ? ReduceOp::max : ReduceOp::min;
}

// Adds up a range of all inputs in rank order.
std::vector<std::byte> total(const Meeting& meeting, size_t first, size_t count) {
  const Call& any = meeting.calls[0];
  const size_t width = size_of(dtype(any.type));
  std::vector<Source> sources;
  for (const Call& call : meeting.calls)
    sources.push_back({.data = call.in + first * width, .wide = false});
  std::vector<std::byte> result(count * width);
  reduce_in_order(dtype(any.type), reduce_op(any.op), sources, result.data(), false,
                  static_cast<int64_t>(count));
  return result;
}

void store(std::byte* to, const std::vector<std::byte>& from) {
  if (!from.empty()) std::memcpy(to, from.data(), from.size());
}

void carry_out(Meeting& meeting) {
  auto& calls = meeting.calls;
  const Call any = calls[0];
  const size_t bytes = bytes_of(any);
  const auto root = static_cast<size_t>(any.peer);
  std::vector<std::vector<std::byte>> results(calls.size());
  for (size_t r = 0; r < calls.size(); ++r) {
    const std::byte* from = calls[root].in;
    if (any.kind == Kind::broadcast) results[r].assign(from, from + bytes);
    if (any.kind == Kind::all_reduce || (any.kind == Kind::reduce && r == root))
      results[r] = total(meeting, 0, any.count);
    if (any.kind == Kind::reduce_scatter) results[r] = total(meeting, r * any.count, any.count);
    if (any.kind == Kind::all_gather)
      for (const Call& call : calls) results[r].insert(results[r].end(), call.in, call.in + bytes);
  }
  for (size_t r = 0; r < calls.size(); ++r) store(calls[r].out, results[r]);
  meeting.over = true;
}

bool agree(const Call& a, const Call& b) {
  return a.kind == b.kind && a.count == b.count && a.type == b.type && a.op == b.op &&
         a.peer == b.peer;
}

// Of one rank's part in a group; lives on the stream.
struct GroupTask {
  std::shared_ptr<Clique> clique;
  int rank;
  std::vector<Call> collectives, transfers;
  size_t first_meeting;
  std::shared_ptr<std::atomic<bool>> aborted;
  std::shared_ptr<std::atomic<int>> error;

  void run() {
    for (size_t i = 0; i < collectives.size(); ++i) meet(collectives[i], first_meeting + i);
    if (!transfers.empty()) exchange();
  }

  template <class Ready>
  bool wait(std::unique_lock<std::mutex>& lock, const Ready& ready) {
    while (!ready()) {
      if (*aborted) return false;
      clique->changed.wait_for(lock, std::chrono::milliseconds(2));
    }
    return true;
  }
  void violate() {
    ++control().violations;
    *error = ncclInvalidUsage;
  }

  void meet(const Call& call, size_t number) {
    std::unique_lock lock(clique->mutex);
    Meeting& meeting = clique->meetings[number];
    meeting.calls.resize(clique->size);
    meeting.here.resize(clique->size);
    meeting.calls[static_cast<size_t>(rank)] = call;
    meeting.here[static_cast<size_t>(rank)] = true;
    if (++meeting.arrived == clique->size) {
      for (const Call& other : meeting.calls)
        if (!agree(other, call)) return violate();
      if (!meeting.left) carry_out(meeting);
      clique->changed.notify_all();
    }
    if (!wait(lock, [&] { return meeting.over; })) meeting.left = true;
  }

  void exchange() {
    std::unique_lock lock(clique->mutex);
    Leaving leaving;
    std::map<int, std::vector<Call>> expected;
    for (const Call& call : transfers) {
      if (call.kind == Kind::receive) {
        expected[call.peer].push_back(call);
      } else {
        auto& bundle = leaving[call.peer];
        if (!bundle) bundle = std::make_shared<Bundle>();
        bundle->sends.push_back(call);
      }
    }
    for (const auto& [peer, bundle] : leaving) clique->channels[{rank, peer}].push_back(bundle);
    clique->changed.notify_all();
    if (!receive(lock, expected) || !wait(lock, [&] { return all_taken(leaving); }))
      withdraw(leaving);
  }

  bool receive(std::unique_lock<std::mutex>& lock,
               const std::map<int, std::vector<Call>>& expected) {
    for (const auto& [peer, receives] : expected) {
      auto& channel = clique->channels[{peer, rank}];
      if (!wait(lock, [&] { return !channel.empty(); })) return false;
      take(*channel.front(), receives);
      channel.pop_front();
    }
    return true;
  }

  using Leaving = std::map<int, std::shared_ptr<Bundle>>;
  static bool all_taken(const Leaving& leaving) {
    return std::all_of(leaving.begin(), leaving.end(),
                       [](const auto& each) { return each.second->taken; });
  }
  // The memory of a rank that has given up is soon gone.
  void withdraw(const Leaving& leaving) {
    for (const auto& [peer, bundle] : leaving) std::erase(clique->channels[{rank, peer}], bundle);
  }

  void take(Bundle& bundle, const std::vector<Call>& receives) {
    if (bundle.sends.size() != receives.size()) violate();
    for (size_t i = 0; i < std::min(bundle.sends.size(), receives.size()); ++i) {
      const size_t bytes = bytes_of(receives[i]);
      if (bytes_of(bundle.sends[i]) != bytes) violate();
      std::memcpy(receives[i].out, bundle.sends[i].in, std::min(bytes, bytes_of(bundle.sends[i])));
    }
    bundle.taken = true;
    clique->changed.notify_all();
  }
};

bool buffers_are_fine(const Call& call, ncclComm_t comm) {
  const auto n = comm->clique->size;
  const bool root = call.peer == comm->rank;
  const size_t bytes = bytes_of(call);
  const bool many_in = call.kind == Kind::reduce_scatter, many_out = call.kind == Kind::all_gather;
  const bool reads = call.kind != Kind::receive && (call.kind != Kind::broadcast || root);
  const bool writes = call.kind != Kind::send && (call.kind != Kind::reduce || root);
  return (!reads || require_device(call.in, many_in ? bytes * n : bytes)) &&
         (!writes || require_device(call.out, many_out ? bytes * n : bytes));
}

ncclResult_t add(const Call& call, ncclComm_t comm, cudaStream_t stream) {
  if (!buffers_are_fine(call, comm)) return ncclInvalidArgument;
  if (group_depth == 0) ++control().violations;
  grouped.push_back({comm, stream, call});
  return ncclSuccess;
}

void launch() {
  std::map<ncclComm_t, GroupTask> tasks;
  std::map<ncclComm_t, cudaStream_t> streams;
  for (const Grouped& each : grouped) {
    auto at = tasks.find(each.comm);
    if (at == tasks.end()) {
      at = tasks
               .emplace(each.comm, GroupTask{.clique = each.comm->clique,
                                             .rank = each.comm->rank,
                                             .collectives = {},
                                             .transfers = {},
                                             .first_meeting = each.comm->next_meeting,
                                             .aborted = each.comm->aborted,
                                             .error = each.comm->error})
               .first;
      streams[each.comm] = each.stream;
    }
    const bool transfer = each.call.kind == Kind::send || each.call.kind == Kind::receive;
    (transfer ? at->second.transfers : at->second.collectives).push_back(each.call);
  }
  for (auto& [comm, task] : tasks) {
    comm->next_meeting += task.collectives.size();
    comm->looks_until_launched = 2;
    queue_of(streams[comm]).add([task = task]() mutable { task.run(); });
  }
  grouped.clear();
}

const std::byte* readable(const void* data) {
  return static_cast<const std::byte*>(data);
}
std::byte* writable(void* data) {
  return static_cast<std::byte*>(data);
}

}  // namespace
}  // namespace hecate::collectives::nccl::fake

using namespace fake;

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const std::lock_guard lock(cliques().mutex);
  *id = {};
  const std::string text = "fake " + std::to_string(cliques().next_id++);
  std::memcpy(id->internal, text.c_str(), text.size());
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (config->blocking != 0) ++control().violations;
  const std::lock_guard lock(cliques().mutex);
  auto& clique = cliques().by_id[id.internal];
  if (!clique) clique = std::make_shared<Clique>();
  *comm = new ncclComm{.clique = clique, .rank = rank};
  const std::lock_guard joining(clique->mutex);
  clique->size = static_cast<size_t>(ranks);
  ++clique->joined;
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const std::lock_guard lock(comm->clique->mutex);
  if (control().failing_rank == comm->rank) {
    *error = ncclRemoteError;
  } else if (comm->clique->joined < comm->clique->size || comm->looks_until_launched-- > 0) {
    *error = ncclInProgress;
  } else {
    comm->looks_until_launched = 0;
    *error = static_cast<ncclResult_t>(comm->error->load());
  }
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t) {
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  ++control().aborts;
  *comm->aborted = true;
  comm->clique->changed.notify_all();
  delete comm;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited" : "a fake error";
}
const char* ncclGetLastError(ncclComm_t) {
  return "told by the fake";
}

ncclResult_t ncclGroupStart() {
  ++group_depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (--group_depth > 0) return ncclSuccess;
  launch();
  return ncclInProgress;
}

ncclResult_t ncclReduce(const void* in, void* out, size_t count, ncclDataType_t type,
                        ncclRedOp_t op, int root, ncclComm_t comm, cudaStream_t stream) {
  return add({Kind::reduce, readable(in), writable(out), count, type, op, root}, comm, stream);
}

ncclResult_t ncclBroadcast(const void* in, void* out, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return add({Kind::broadcast, readable(in), writable(out), count, type, ncclSum, root}, comm,
             stream);
}

ncclResult_t ncclAllReduce(const void* in, void* out, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return add({Kind::all_reduce, readable(in), writable(out), count, type, op, 0}, comm, stream);
}

ncclResult_t ncclReduceScatter(const void* in, void* out, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return add({Kind::reduce_scatter, readable(in), writable(out), count, type, op, 0}, comm, stream);
}

ncclResult_t ncclAllGather(const void* in, void* out, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return add({Kind::all_gather, readable(in), writable(out), count, type, ncclSum, 0}, comm,
             stream);
}

ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return add({Kind::send, readable(data), nullptr, count, type, ncclSum, peer}, comm, stream);
}

ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add({Kind::receive, nullptr, writable(data), count, type, ncclSum, peer}, comm, stream);
}
