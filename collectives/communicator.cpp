#include "collectives/communicator.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "collectives/backend.h"
#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

void check_type(const char* operation, DType type) {
  HECATE_CHECK(type != DType::u8 && type != DType::u16, operation, ": no arithmetic on ",
               name_of(type));
}

void check_buffer(const char* operation, const char* name, const void* data, int64_t count) {
  HECATE_CHECK(count >= 0, operation, ": ", name, " has ", count, " elements");
  HECATE_CHECK(count == 0 || data != nullptr, operation, ": ", name, " is null, expected ", count,
               " elements");
}

void check_root(const char* operation, int root, int size) {
  HECATE_CHECK(root >= 0 && root < size, operation, ": root ", root, " of ", size, " ranks");
}

int64_t check_counts(const char* operation, std::span<const int64_t> counts, int size) {
  HECATE_CHECK(std::ssize(counts) == size, operation, ": ", counts.size(), " counts for ", size,
               " ranks");
  for (int64_t count : counts) HECATE_CHECK(count >= 0, operation, ": count ", count);
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

}  // namespace

void Work::wait() const {
  if (state_) state_->wait(state_->default_timeout());
}

void Work::wait_for(std::chrono::nanoseconds timeout) const {
  if (state_) state_->wait(timeout);
}

void wait_all(std::span<const Work> works) {
  for (const Work& work : works) work.wait();
}

std::shared_ptr<CommunicatorBackend> CommunicatorBackend::subgroup(std::span<const int> ranks,
                                                                   LaneKind lane) {
  const auto place = std::ranges::find(ranks, rank()) - ranks.begin();
  return split(*std::ranges::min_element(ranks), static_cast<int>(place), lane);
}

Communicator::Communicator(std::shared_ptr<CommunicatorBackend> backend)
    : backend_(std::move(backend)) {}

int Communicator::rank() const {
  return backend_->rank();
}

int Communicator::size() const {
  return backend_->size();
}

LaneKind Communicator::lane() const {
  return backend_->lane();
}

std::span<const int> Communicator::nodes() const {
  return backend_->nodes();
}

std::string_view Communicator::backend_name() const {
  return backend_->name();
}

std::vector<FlightEntry> Communicator::flight_record() const {
  return backend_->flight_record();
}

Traffic Communicator::traffic() const {
  return backend_->traffic();
}

int64_t Communicator::peak_scratch_bytes() const {
  return backend_->peak_scratch_bytes();
}

Communicator Communicator::split(int color, int key, LaneKind lane) const {
  return Communicator(backend_->split(color, key, lane));
}

Communicator Communicator::subgroup(std::span<const int> ranks, LaneKind lane) const {
  HECATE_CHECK(std::ranges::find(ranks, rank()) != ranks.end(), "subgroup: rank ", rank(),
               " is not among its ", ranks.size(), " ranks");
  return Communicator(backend_->subgroup(ranks, lane));
}

Communicator Communicator::on_lane(LaneKind lane) const {
  return split(0, rank(), lane);
}

Work Communicator::barrier() const {
  return backend_->barrier();
}

Work Communicator::broadcast(void* data, int64_t count, DType type, int root) const {
  check_root("broadcast", root, size());
  check_buffer("broadcast", "data", data, count);
  return backend_->broadcast(data, count, type, root);
}

Work Communicator::reduce(const void* in, void* out, int64_t count, DType type, ReduceOp op,
                          int root) const {
  check_root("reduce", root, size());
  check_type("reduce", type);
  check_buffer("reduce", "in", in, count);
  if (rank() == root) check_buffer("reduce", "out", out, count);
  return backend_->reduce(in, out, count, type, op, root);
}

Work Communicator::all_reduce(const void* in, void* out, int64_t count, DType type,
                              ReduceOp op) const {
  check_type("all_reduce", type);
  check_buffer("all_reduce", "in", in, count);
  check_buffer("all_reduce", "out", out, count);
  return backend_->all_reduce(in, out, count, type, op);
}

Work Communicator::all_gather(const void* in, void* out, int64_t count, DType type) const {
  check_buffer("all_gather", "in", in, count);
  const std::vector<int64_t> counts(static_cast<size_t>(size()), count);
  return all_gather_v(in, out, counts, type);
}

Work Communicator::all_gather_v(const void* in, void* out, std::span<const int64_t> counts,
                                DType type) const {
  const int64_t total = check_counts("all_gather", counts, size());
  check_buffer("all_gather", "in", in, counts[static_cast<size_t>(rank())]);
  check_buffer("all_gather", "out", out, total);
  return backend_->all_gather_v(in, out, counts, type);
}

Work Communicator::reduce_scatter(const void* in, void* out, int64_t count, DType type,
                                  ReduceOp op) const {
  check_buffer("reduce_scatter", "out", out, count);
  const std::vector<int64_t> counts(static_cast<size_t>(size()), count);
  return reduce_scatter_v(in, out, counts, type, op);
}

Work Communicator::reduce_scatter_v(const void* in, void* out, std::span<const int64_t> counts,
                                    DType type, ReduceOp op) const {
  check_type("reduce_scatter", type);
  const int64_t total = check_counts("reduce_scatter", counts, size());
  check_buffer("reduce_scatter", "in", in, total);
  check_buffer("reduce_scatter", "out", out, counts[static_cast<size_t>(rank())]);
  return backend_->reduce_scatter_v(in, out, counts, type, op);
}

Work Communicator::all_to_all(const void* in, void* out, int64_t count, DType type) const {
  const std::vector<int64_t> counts(static_cast<size_t>(size()), count);
  return all_to_all_v(in, counts, out, counts, type);
}

Work Communicator::all_to_all_v(const void* in, std::span<const int64_t> send_counts, void* out,
                                std::span<const int64_t> receive_counts, DType type) const {
  check_buffer("all_to_all", "in", in, check_counts("all_to_all", send_counts, size()));
  check_buffer("all_to_all", "out", out, check_counts("all_to_all", receive_counts, size()));
  const auto me = static_cast<size_t>(rank());
  HECATE_CHECK(send_counts[me] == receive_counts[me], "all_to_all: rank ", me, " sends itself ",
               send_counts[me], " elements and expects ", receive_counts[me]);
  return backend_->all_to_all_v(in, send_counts, out, receive_counts, type);
}

Work Communicator::exchange(std::span<const Send> sends, std::span<const Receive> receives) const {
  auto check_peer = [&](int peer) {
    HECATE_CHECK(peer >= 0 && peer < size() && peer != rank(), "exchange: peer ", peer, " on rank ",
                 rank(), " of ", size());
  };
  for (const Send& send : sends) {
    check_peer(send.peer);
    check_buffer("exchange", "a message to send", send.data, send.bytes);
  }
  for (const Receive& receive : receives) {
    check_peer(receive.peer);
    check_buffer("exchange", "a message to receive", receive.data, receive.bytes);
  }
  return backend_->exchange(sends, receives);
}

}  // namespace hecate::collectives
