#include "collectives/sparse.h"

#include "collectives/backend.h"
#include "collectives/sparse_program.h"
#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

void check_ranks(const Communicator& communicator, const SparseSchedule& schedule) {
  HECATE_CHECK(std::ssize(schedule.node_of) == communicator.size(),
               "sparse collective: planned for ", schedule.node_of.size(), " ranks, called on ",
               communicator.size());
}

uint64_t fingerprint(const SparseSchedule& schedule, DType type) {
  uint64_t hash = 0x9E3779B97F4A7C15ull + static_cast<uint64_t>(type);
  const auto mix = [&](int64_t value) {
    hash = (hash ^ static_cast<uint64_t>(value)) * 0x100000001b3ull;
    hash ^= hash >> 31;
  };
  for (int owner : schedule.owners) mix(owner);
  for (int64_t bytes : schedule.chunk_bytes) mix(bytes);
  for (int node : schedule.node_of) mix(node);
  for (const Transfer& transfer : schedule.transfers) {
    mix(transfer.chunk);
    mix((static_cast<int64_t>(transfer.source) << 32) + transfer.destination);
    mix(transfer.offset);
    mix(transfer.bytes);
  }
  return hash;
}

// Stands for the memory of another rank, whose program is wanted for its shape.
struct Elsewhere {
  explicit Elsewhere(const SparseSchedule& schedule)
      : storage(schedule.chunk_bytes.size(), &place),
        writable(storage),
        readable(storage.begin(), storage.end()) {}

  std::byte place{};
  std::vector<void*> storage;
  std::span<void* const> writable;
  std::vector<const void*> readable;
};

}  // namespace

Work sparse_all_gather(const Communicator& communicator, const SparseSchedule& schedule,
                       std::span<void* const> chunks, DType stored, DType wire) {
  check_ranks(communicator, schedule);
  CommunicatorBackend& backend = communicator.backend();
  const auto program = [&](int rank) {
    const Elsewhere elsewhere(schedule);
    return gather_program(schedule, rank, communicator.size(),
                          rank == communicator.rank() ? chunks : elsewhere.writable, stored, wire,
                          backend.segment_bytes());
  };
  return backend.run(program, "sparse_all_gather", fingerprint(schedule, wire));
}

Work sparse_reduce_scatter(const Communicator& communicator, const SparseSchedule& schedule,
                           std::span<const void* const> inputs, std::span<void* const> outputs,
                           DType type) {
  check_ranks(communicator, schedule);
  CommunicatorBackend& backend = communicator.backend();
  const auto program = [&](int rank) {
    const Elsewhere elsewhere(schedule);
    const bool here = rank == communicator.rank();
    return reduce_program(schedule, rank, communicator.size(),
                          here ? inputs : std::span<const void* const>(elsewhere.readable),
                          here ? outputs : elsewhere.writable, type, backend.segment_bytes());
  };
  return backend.run(program, "sparse_reduce_scatter", fingerprint(schedule, type));
}

}  // namespace hecate::collectives
