#include "collectives/nccl/nccl_communicator.h"

#include <algorithm>
#include <utility>

#include "collectives/nccl/types.h"
#include "runtime/base/error.h"

namespace hecate::collectives::nccl {
namespace {

// Calls in one group: NCCL allows 2048, and fewer are less likely to be split inside.
constexpr int kMostCalls = 128;

int64_t width(DType type) {
  return static_cast<int64_t>(size_of(type));
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

uint64_t hash_of(std::string_view name, std::span<const int64_t> values) {
  uint64_t hash = 0xcbf29ce484222325ull;
  const auto mix = [&](uint64_t value) {
    hash = (hash ^ value) * 0x100000001b3ull;
    hash ^= hash >> 29;
  };
  for (const char letter : name) mix(static_cast<uint64_t>(letter));
  for (int64_t value : values) mix(static_cast<uint64_t>(value));
  return hash;
}

std::vector<int64_t> with_counts(std::vector<int64_t> agreement, std::span<const int64_t> counts) {
  agreement.insert(agreement.end(), counts.begin(), counts.end());
  return agreement;
}

bool all_equal(std::span<const int64_t> counts) {
  return std::all_of(counts.begin(), counts.end(),
                     [&](int64_t count) { return count == counts[0]; });
}

// Calls body(i) for 0 .. count - 1, in groups of at most kMostCalls / `calls_each`. All ranks cut
// at the same places.
template <class Body>
void in_groups(Channel& channel, const char* name, int count, int calls_each, const Body& body) {
  const int step = std::max(1, kMostCalls / calls_each);
  for (int begin = 0; begin < count; begin += step)
    channel.group(name, [&](ncclComm_t comm, cudaStream_t stream) {
      for (int i = begin; i < std::min(count, begin + step); ++i) body(i, comm, stream);
    });
}

void copy(std::byte* to, const std::byte* from, int64_t bytes, cudaStream_t stream) {
  if (bytes > 0 && to != from)
    check_cuda(
        cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream),
        "cudaMemcpyAsync");
}

}  // namespace

NcclCommunicator::NcclCommunicator(std::shared_ptr<RankState> state, Communicator control,
                                   std::vector<int> ranks)
    : state_(std::move(state)),
      control_(std::move(control)),
      ranks_(std::make_shared<const std::vector<int>>(std::move(ranks))) {
  // The ranks' next numbers differ where they are in different groups.
  int64_t next = state_->next_context, agreed = 0;
  control_.all_reduce(&next, &agreed, 1, DType::i64, ReduceOp::max).wait();
  context_ = static_cast<uint32_t>(agreed);
  state_->next_context = context_ + 1;
  const DeviceScope scope(state_->nccl.device);
  const LaneKind kind = control_.lane();
  const bool urgent = kind != LaneKind::sparse && kind != LaneKind::dense;
  channel_ =
      std::make_shared<Channel>(control_, state_->nccl.device, urgent, state_->options.timeout);
}

std::shared_ptr<CommunicatorBackend> NcclCommunicator::split(int color, int key, LaneKind lane) {
  Communicator part = control_.split(color, key, lane);
  if (!part) return nullptr;
  const int32_t me = (*ranks_)[static_cast<size_t>(rank())];
  std::vector<int32_t> ranks(static_cast<size_t>(part.size()));
  part.all_gather(&me, ranks.data(), 1, DType::i32).wait();
  return std::make_shared<NcclCommunicator>(state_, std::move(part),
                                            std::vector<int>(ranks.begin(), ranks.end()));
}

bool NcclCommunicator::natively(DType type, ReduceOp op) const {
  return !state_->nccl.ordered_sums && adds_exactly(type, op);
}

void NcclCommunicator::check_calls(const Call& call) const {
  if (!state_->options.check_arguments || call.point_to_point || size() == 1) return;
  const auto n = static_cast<size_t>(size());
  const auto words = 1 + 2 * n;  // what must be equal, elements to and from each rank
  std::vector<int64_t> mine(words), all(words * n);
  mine[0] = static_cast<int64_t>(hash_of(call.name, call.agreement));
  std::copy(call.to.begin(), call.to.end(), mine.begin() + 1);
  std::copy(call.from.begin(), call.from.end(), mine.begin() + 1 + static_cast<int64_t>(n));
  control_.all_gather(mine.data(), all.data(), static_cast<int64_t>(words), DType::i64).wait();
  const auto me = static_cast<size_t>(rank());
  for (size_t peer = 0; peer < n; ++peer) {
    const int64_t* theirs = all.data() + peer * words;
    HECATE_CHECK(theirs[0] == mine[0], call.name, ": ranks ", me, " and ", peer,
                 " call it with different arguments (or call different operations)");
    HECATE_CHECK(theirs[1 + me] == mine[1 + n + peer] && theirs[1 + n + me] == mine[1 + peer],
                 call.name, ": rank ", me, " sends ", mine[1 + peer], " to and expects ",
                 mine[1 + n + peer], " from rank ", peer, ", which expects ", theirs[1 + n + me],
                 " and sends ", theirs[1 + me]);
  }
}

void NcclCommunicator::count_sent(const char* operation, int peer, int64_t bytes) const {
  state_->traffic.add_sent(lane(), traffic_kind(operation, lane()),
                           (*ranks_)[static_cast<size_t>(peer)], bytes);
}

void NcclCommunicator::count_received(const char* operation, int peer, int64_t bytes) const {
  state_->traffic.add_received(lane(), traffic_kind(operation, lane()),
                               (*ranks_)[static_cast<size_t>(peer)], bytes);
}

Work NcclCommunicator::start(const Call& call, std::span<const Buffer> buffers,
                             const Enqueue& enqueue) {
  check_calls(call);
  const DeviceScope scope(state_->nccl.device);
  FlightEntry entry{.operation = call.name,
                    .lane = lane(),
                    .context = context_,
                    .ranks = ranks_,
                    .sequence = call.point_to_point ? FlightEntry::kPointToPoint : sequence_++,
                    .bytes = 0,
                    .state = OperationState::queued,
                    .begin_ns = now_ns(),
                    .end_ns = 0,
                    .late = {}};
  HostRanges ranges;
  for (const Buffer& buffer : buffers) {
    if (buffer.bytes == 0) continue;
    entry.bytes += buffer.bytes;
    if (!is_device_memory(buffer.data))
      ranges.add(buffer.data, buffer.bytes, buffer.read, buffer.written);
  }
  ranges.finish();
  Mirror mirror(std::move(ranges), channel_->stream());
  const auto work = std::make_shared<NcclWork>(state_, channel_, entry, std::move(mirror));
  state_->add(work);
  try {
    enqueue(*channel_, work->mirror());
    work->enqueued();
  } catch (const Error& error) {
    work->not_enqueued(error.what());
    throw;
  }
  return Work(work);
}

Work NcclCommunicator::barrier() {
  return start({.name = "barrier", .agreement = {}}, {},
               [](Channel& channel, const Mirror&) { channel.barrier(); });
}

Work NcclCommunicator::broadcast(void* data, int64_t count, DType type, int root) {
  const int64_t bytes = count * width(type);
  const bool mine = rank() == root;
  const Buffer buffers[] = {{data, bytes, mine, !mine}};
  return start({.name = "broadcast", .agreement = {count, static_cast<int64_t>(type), root}},
               buffers, [=](Channel& channel, const Mirror& mirror) {
                 if (bytes == 0) return channel.barrier();
                 channel.group("broadcast", [&](ncclComm_t comm, cudaStream_t stream) {
                   std::byte* here = mirror.at(data);
                   check_nccl(ncclBroadcast(here, here, static_cast<size_t>(bytes), ncclUint8, root,
                                            comm, stream),
                              "ncclBroadcast");
                 });
               });
}

Work NcclCommunicator::reduce(const void* in, void* out, int64_t count, DType type, ReduceOp op,
                              int root) {
  const Call call{.name = "reduce",
                  .agreement = {count, static_cast<int64_t>(type), static_cast<int64_t>(op), root}};
  if (!natively(type, op) || count == 0)
    return reduce_in_order(call, {.in = in, .out = out, .type = type, .op = op},
                           dense::split_evenly(count, size()), dense::Destination::root, root);
  const int64_t bytes = count * width(type);
  const Buffer buffers[] = {{in, bytes, true, false},
                            {out, rank() == root ? bytes : 0, false, true}};
  return start(call, buffers, [=](Channel& channel, const Mirror& mirror) {
    channel.group("reduce", [&](ncclComm_t comm, cudaStream_t stream) {
      check_nccl(ncclReduce(mirror.at(in), mirror.at(out), static_cast<size_t>(count),
                            native_type(type), native_op(op), root, comm, stream),
                 "ncclReduce");
    });
  });
}

Work NcclCommunicator::all_reduce(const void* in, void* out, int64_t count, DType type,
                                  ReduceOp op) {
  const Call call{.name = "all_reduce",
                  .agreement = {count, static_cast<int64_t>(type), static_cast<int64_t>(op)}};
  if (!natively(type, op) || count == 0)
    return reduce_in_order(call, {.in = in, .out = out, .type = type, .op = op},
                           dense::split_evenly(count, size()), dense::Destination::everybody, 0);
  const int64_t bytes = count * width(type);
  const Buffer buffers[] = {{in, bytes, true, false}, {out, bytes, false, true}};
  return start(call, buffers, [=](Channel& channel, const Mirror& mirror) {
    channel.group("all_reduce", [&](ncclComm_t comm, cudaStream_t stream) {
      check_nccl(ncclAllReduce(mirror.at(in), mirror.at(out), static_cast<size_t>(count),
                               native_type(type), native_op(op), comm, stream),
                 "ncclAllReduce");
    });
  });
}

Work NcclCommunicator::all_gather_v(const void* in, void* out, std::span<const int64_t> counts,
                                    DType type) {
  const auto layout = dense::packed(counts);
  const int64_t element = width(type);
  const Buffer buffers[] = {{in, layout.counts[static_cast<size_t>(rank())] * element, true, false},
                            {out, layout.total * element, false, true}};
  const Call call{.name = "all_gather",
                  .agreement = with_counts({static_cast<int64_t>(type)}, counts)};
  return start(call, buffers, [&](Channel& channel, const Mirror& mirror) {
    if (layout.total == 0) return channel.barrier();
    if (all_equal(counts))
      return channel.group("all_gather", [&](ncclComm_t comm, cudaStream_t stream) {
        check_nccl(ncclAllGather(mirror.at(in), mirror.at(out),
                                 static_cast<size_t>(counts[0] * element), ncclUint8, comm, stream),
                   "ncclAllGather");
      });
    in_groups(channel, "all_gather", size(), 1, [&](int owner, ncclComm_t comm, auto stream) {
      const auto i = static_cast<size_t>(owner);
      if (counts[i] == 0) return;
      std::byte* block = mirror.at(out) + layout.offsets[i] * element;
      check_nccl(
          ncclBroadcast(owner == rank() ? mirror.at(in) : block, block,
                        static_cast<size_t>(counts[i] * element), ncclUint8, owner, comm, stream),
          "ncclBroadcast");
    });
  });
}

Work NcclCommunicator::reduce_scatter_v(const void* in, void* out, std::span<const int64_t> counts,
                                        DType type, ReduceOp op) {
  const auto layout = dense::packed(counts);
  const Call call{
      .name = "reduce_scatter",
      .agreement = with_counts({static_cast<int64_t>(type), static_cast<int64_t>(op)}, counts)};
  if (!natively(type, op) || layout.total == 0)
    return reduce_in_order(call, {.in = in, .out = out, .type = type, .op = op}, layout,
                           dense::Destination::owner, 0);
  const int64_t element = width(type);
  const Buffer buffers[] = {
      {in, layout.total * element, true, false},
      {out, layout.counts[static_cast<size_t>(rank())] * element, false, true}};
  return start(call, buffers, [&](Channel& channel, const Mirror& mirror) {
    if (all_equal(counts))
      return channel.group("reduce_scatter", [&](ncclComm_t comm, cudaStream_t stream) {
        check_nccl(ncclReduceScatter(mirror.at(in), mirror.at(out), static_cast<size_t>(counts[0]),
                                     native_type(type), native_op(op), comm, stream),
                   "ncclReduceScatter");
      });
    in_groups(channel, "reduce_scatter", size(), 1, [&](int owner, ncclComm_t comm, auto stream) {
      const auto i = static_cast<size_t>(owner);
      if (counts[i] == 0) return;
      check_nccl(ncclReduce(mirror.at(in) + layout.offsets[i] * element, mirror.at(out),
                            static_cast<size_t>(counts[i]), native_type(type), native_op(op), owner,
                            comm, stream),
                 "ncclReduce");
    });
  });
}

Work NcclCommunicator::all_to_all_v(const void* in, std::span<const int64_t> send_counts, void* out,
                                    std::span<const int64_t> receive_counts, DType type) {
  const auto sends = dense::packed(send_counts), receives = dense::packed(receive_counts);
  const int64_t element = width(type);
  const Buffer buffers[] = {{in, sends.total * element, true, false},
                            {out, receives.total * element, false, true}};
  const Call call{.name = "all_to_all",
                  .agreement = {static_cast<int64_t>(type)},
                  .to = sends.counts,
                  .from = receives.counts};
  const int n = size(), me = rank();
  return start(call, buffers, [&](Channel& channel, const Mirror& mirror) {
    const std::byte* from = mirror.at(in);
    std::byte* to = mirror.at(out);
    const auto mine = static_cast<size_t>(me);
    copy(to + receives.offsets[mine] * element, from + sends.offsets[mine] * element,
         sends.counts[mine] * element, channel.stream());
    in_groups(channel, "all_to_all", n - 1, 2, [&](int k, ncclComm_t comm, cudaStream_t stream) {
      const int target = (me + k + 1) % n, source = (me - k - 1 + n) % n;
      const auto t = static_cast<size_t>(target), s = static_cast<size_t>(source);
      send(from + sends.offsets[t] * element, sends.counts[t] * element, target, comm, stream);
      receive(to + receives.offsets[s] * element, receives.counts[s] * element, source, comm,
              stream);
      count_sent(call.name, target, sends.counts[t] * element);
      count_received(call.name, source, receives.counts[s] * element);
    });
  });
}

Work NcclCommunicator::exchange(std::span<const Send> sends, std::span<const Receive> receives) {
  std::vector<Buffer> buffers;
  for (const Send& each : sends) buffers.push_back({each.data, each.bytes, true, false});
  for (const Receive& each : receives) buffers.push_back({each.data, each.bytes, false, true});
  const Call call{.name = "exchange", .agreement = {}, .point_to_point = true};
  return start(call, buffers, [&](Channel& channel, const Mirror& mirror) {
    channel.group("exchange", [&](ncclComm_t comm, cudaStream_t stream) {
      for (const Send& each : sends) {
        send(mirror.at(each.data), each.bytes, each.peer, comm, stream);
        count_sent(call.name, each.peer, each.bytes);
      }
      for (const Receive& each : receives) {
        receive(mirror.at(each.data), each.bytes, each.peer, comm, stream);
        count_received(call.name, each.peer, each.bytes);
      }
    });
  });
}

}  // namespace hecate::collectives::nccl
