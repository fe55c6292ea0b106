#include "collectives/mpi/mpi_transport.h"

#include <algorithm>
#include <array>
#include <limits>

#include "runtime/base/error.h"

namespace hecate::collectives::mpi {
namespace {

// A tag is context (10 bits), sequence (7), index on the channel (14). Numbers that wrap meet only
// messages that are posted in the same order on both sides.
constexpr int kIndexBits = 14, kSequenceBits = 7;

int tag_of(MessageKey key) {
  const uint32_t index = key.index & ((1u << kIndexBits) - 1);
  return static_cast<int>((((key.context << kSequenceBits) | key.sequence) << kIndexBits) | index);
}

std::string message_of(int status) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(status, text.data(), &length);
  return {text.data(), static_cast<size_t>(length)};
}

int checked_bytes(int64_t bytes) {
  HECATE_CHECK(bytes <= std::numeric_limits<int>::max(), "mpi: one message of ", bytes,
               " bytes; segments are smaller");
  return static_cast<int>(bytes);
}

}  // namespace

void check_mpi(int status, const char* call) {
  if (status != MPI_SUCCESS) throw CommError(concat(call, ": ", message_of(status)));
}

MpiTransport::MpiTransport(int ranks_per_node) {
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &communicator_), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(communicator_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(communicator_, &rank_);
  MPI_Comm_size(communicator_, &size_);
  void* limit = nullptr;
  int found = 0;
  MPI_Comm_get_attr(communicator_, MPI_TAG_UB, &limit, &found);
  if (found == 0 || *static_cast<int*>(limit) < std::numeric_limits<int>::max())
    throw CommError("mpi: this library's tags have fewer than 31 bits");
  find_nodes(ranks_per_node);
}

void MpiTransport::find_nodes(int ranks_per_node) {
  if (ranks_per_node > 0) {
    for (int r = 0; r < size_; ++r) nodes_.push_back(r / ranks_per_node);
    return;
  }
  MPI_Comm node = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(communicator_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node),
            "MPI_Comm_split_type");
  int first = rank_;
  check_mpi(MPI_Bcast(&first, 1, MPI_INT, 0, node), "MPI_Bcast");
  MPI_Comm_free(&node);
  nodes_.resize(static_cast<size_t>(size_));
  check_mpi(MPI_Allgather(&first, 1, MPI_INT, nodes_.data(), 1, MPI_INT, communicator_),
            "MPI_Allgather");
}

void MpiTransport::add(const Entry& entry, MPI_Request request, int status) {
  if (status != MPI_SUCCESS) {
    failed_.push_back({.ticket = entry.ticket, .error = message_of(status)});
    return;
  }
  requests_.push_back(request);
  entries_.push_back(entry);
}

void MpiTransport::send(int peer, MessageKey key, const void* data, int64_t bytes, bool bulk,
                        Ticket ticket) {
  MPI_Request request = MPI_REQUEST_NULL;
  const int count = checked_bytes(bytes);
  // A standard send of a segment completes while the bytes still wait in the library.
  const bool synchronous =
      bulk && nodes_[static_cast<size_t>(peer)] != nodes_[static_cast<size_t>(rank_)];
  const auto call = synchronous ? MPI_Issend : MPI_Isend;
  const int status = call(data, count, MPI_BYTE, peer, tag_of(key), communicator_, &request);
  add({.ticket = ticket, .bytes = count, .received = false}, request, status);
}

void MpiTransport::receive(int peer, MessageKey key, void* data, int64_t bytes, Ticket ticket) {
  MPI_Request request = MPI_REQUEST_NULL;
  const int count = checked_bytes(bytes);
  const int status = MPI_Irecv(data, count, MPI_BYTE, peer, tag_of(key), communicator_, &request);
  add({.ticket = ticket, .bytes = count, .received = true}, request, status);
}

std::string MpiTransport::problem(const Entry& entry, const MPI_Status& status, int result) const {
  if (result == MPI_ERR_IN_STATUS && status.MPI_ERROR != MPI_SUCCESS)
    return message_of(status.MPI_ERROR);
  int count = 0;
  if (entry.received) MPI_Get_count(&status, MPI_BYTE, &count);
  if (entry.received && count != entry.bytes)
    return concat(count, " bytes came, ", entry.bytes, " expected");
  return {};
}

void MpiTransport::poll(std::vector<Completion>& completions) {
  for (Completion& failure : failed_) completions.push_back(std::move(failure));
  failed_.clear();
  if (requests_.empty()) return;
  indices_.resize(requests_.size());
  statuses_.resize(requests_.size());
  int count = 0;
  const int result = MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count,
                                  indices_.data(), statuses_.data());
  if (result != MPI_SUCCESS && result != MPI_ERR_IN_STATUS)
    throw CommError(concat("MPI_Testsome: ", message_of(result)));
  if (count == 0 || count == MPI_UNDEFINED) return;
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(indices_[static_cast<size_t>(i)]);
    const Entry& entry = entries_[at];
    if (entry.ticket.operation == 0) continue;
    completions.push_back({.ticket = entry.ticket,
                           .error = problem(entry, statuses_[static_cast<size_t>(i)], result)});
  }
  // Testsome has set what is complete to null.
  size_t kept = 0;
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i] == MPI_REQUEST_NULL) continue;
    requests_[kept] = requests_[i];
    entries_[kept++] = entries_[i];
  }
  requests_.resize(kept);
  entries_.resize(kept);
}

void MpiTransport::cancel(uint64_t operation) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].ticket.operation != operation) continue;
    // A send cannot be called back; it stays here until the peer takes it, reported to nobody.
    if (entries_[i].received) MPI_Cancel(&requests_[i]);
    entries_[i].ticket.operation = 0;
  }
}

}  // namespace hecate::collectives::mpi
