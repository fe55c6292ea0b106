#include "tests/collectives/large.h"

#include <cstdlib>
#include <fstream>

#include "collectives/sparse.h"
#include "tests/collectives/contract_values.h"

namespace hecate::collectives::contract {
namespace {

// Beyond 2^31 bytes, no multiple of anything.
constexpr int64_t kWords = (int64_t{1} << 28) + 1027;
constexpr int64_t kBytes = kWords * 8 + 5;

using Buffer = std::vector<int64_t>;

// Every word differs from every other, so that a piece at a wrong place shows.
int64_t word_at(int rank, int64_t index) {
  return index * 0x1F3 + rank;
}

void fill(Buffer& buffer, int rank) {
  for (int64_t i = 0; i < std::ssize(buffer); ++i)
    buffer[static_cast<size_t>(i)] = word_at(rank, i);
}

void check(const char* what, const Buffer& buffer, int64_t begin, int64_t words, int rank) {
  for (int64_t i = 0; i < words; ++i)
    require(buffer[static_cast<size_t>(begin + i)] == word_at(rank, i), what, ": word ", begin + i,
            " is ", buffer[static_cast<size_t>(begin + i)]);
}

void broadcast(const Communicator& world, Buffer& buffer) {
  fill(buffer, world.rank());
  world.broadcast(buffer.data(), kBytes, DType::u8, 1).wait();
  check("broadcast", buffer, 0, kWords, 1);
}

void exchange(const Communicator& world, Buffer& buffer) {
  fill(buffer, world.rank());
  if (world.rank() == 0) {
    const Send message[] = {{1, buffer.data(), kBytes}};
    world.exchange(message, {}).wait();
  } else {
    const Receive message[] = {{0, buffer.data(), kBytes}};
    world.exchange({}, message).wait();
  }
  check("exchange", buffer, 0, kWords, 0);
}

void all_reduce(const Communicator& world, Buffer& buffer) {
  fill(buffer, world.rank());
  world.all_reduce(buffer.data(), buffer.data(), kWords, DType::i64, ReduceOp::sum).wait();
  for (int64_t i = 0; i < kWords; ++i)
    require(buffer[static_cast<size_t>(i)] == word_at(0, i) + word_at(1, i), "all_reduce: word ",
            i);
}

void all_gather(const Communicator& world, Buffer& buffer) {
  constexpr int64_t kBlock = kWords / 2;
  Buffer mine(static_cast<size_t>(kBlock));
  fill(mine, world.rank());
  world.all_gather(mine.data(), buffer.data(), kBlock * 8, DType::u8).wait();
  for (int r = 0; r < 2; ++r) check("all_gather", buffer, r * kBlock, kBlock, r);
}

void sparse_gather(const Communicator& world, Buffer& buffer) {
  const Topology topology{
      .node_of = {world.nodes().begin(), world.nodes().end()}, .inside = {}, .between = {}};
  const int owners[] = {1};
  Placement everywhere(1, 2);
  everywhere.add_everywhere(0);
  const int64_t bytes[] = {kWords * 8};
  const SparseSchedule schedule = plan_gather({.owners = owners,
                                               .materialized = &everywhere,
                                               .chunk_bytes = bytes,
                                               .topology = &topology,
                                               .algorithm = SparseAlgorithm::tree});
  fill(buffer, world.rank());
  void* const chunks[] = {buffer.data()};
  sparse_all_gather(world, schedule, chunks, DType::i64, DType::i64).wait();
  check("sparse_all_gather", buffer, 0, kWords, 1);
}

}  // namespace

std::string reason_to_skip_large() {
  constexpr int64_t kNeededKiB = 10 << 20;
  if (std::getenv("HECATE_TEST_FULL") == nullptr) return "only in full runs (HECATE_TEST_FULL=1)";
  std::ifstream memory("/proc/meminfo");
  std::string word;
  int64_t available = 0;
  while (memory >> word)
    if (word == "MemAvailable:") memory >> available;
  return available < kNeededKiB
             ? concat("needs 10 GiB of free memory, has ", available >> 10, " MiB")
             : "";
}

void large_transfers_arrive(const Communicator& world) {
  require(world.size() == 2, "for two ranks, not ", world.size());
  Buffer buffer(static_cast<size_t>(kWords) + 1);
  for (auto part : {broadcast, exchange, all_reduce, all_gather, sparse_gather})
    part(world, buffer);
}

}  // namespace hecate::collectives::contract
