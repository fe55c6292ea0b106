#include "tests/collectives/contract_sparse.h"

#include <cstring>

#include "collectives/sparse.h"
#include "tests/collectives/contract_values.h"
#include "tests/collectives/random_placement.h"

namespace hecate::collectives::contract {
namespace {

constexpr SparseAlgorithm kAlgorithms[] = {SparseAlgorithm::direct, SparseAlgorithm::tree,
                                           SparseAlgorithm::group, SparseAlgorithm::automatic};

// This rank's memory for the chunks that it holds.
template <class T>
struct Chunks {
  std::vector<std::vector<T>> storage;
  std::vector<void*> data;
  std::vector<const void*> readable() const { return {data.begin(), data.end()}; }
};

template <class T, class Fill>
Chunks<T> make_chunks(const SparseCase& test, int rank, const Fill& fill) {
  Chunks<T> chunks;
  chunks.storage.resize(test.elements.size());
  for (size_t e = 0; e < test.elements.size(); ++e) {
    const bool held = test.materialized.holds(static_cast<int>(e), rank);
    if (held) {
      // One element more, so that an empty chunk has an address too.
      for (int64_t i = 0; i <= test.elements[e]; ++i)
        chunks.storage[e].push_back(fill(static_cast<int>(e), i));
    }
    chunks.data.push_back(held ? chunks.storage[e].data() : nullptr);
  }
  return chunks;
}

SparseRequest request_of(const SparseCase& test, const std::vector<int64_t>& bytes,
                         SparseAlgorithm algorithm, int64_t segment) {
  return {.owners = test.owners,
          .materialized = &test.materialized,
          .chunk_bytes = bytes,
          .topology = &test.topology,
          .algorithm = algorithm,
          .segment_bytes = segment};
}

std::vector<int64_t> bytes_of(const SparseCase& test, size_t width) {
  std::vector<int64_t> bytes;
  for (int64_t count : test.elements) bytes.push_back(count * static_cast<int64_t>(width));
  return bytes;
}

template <class T>
void check_gather(const Communicator& comm, const SparseCase& test, SparseAlgorithm algorithm,
                  DType wire) {
  const auto value = [](int e, int64_t i) { return value_of(e, i); };
  const auto bytes = bytes_of(test, size_of(wire));
  const auto schedule = plan_gather(request_of(test, bytes, algorithm, 4096));
  Chunks<T> chunks = make_chunks<T>(test, comm.rank(), [&](int e, int64_t i) {
    const auto expert = static_cast<size_t>(e);
    const bool known = test.owners[expert] == comm.rank() && i < test.elements[expert];
    return from_int<T>(known ? value(e, i) : 77);
  });
  sparse_all_gather(comm, schedule, chunks.data, dtype_of<T>(), wire).wait();
  for (size_t e = 0; e < chunks.storage.size(); ++e) {
    for (int64_t i = 0; i < std::ssize(chunks.storage[e]); ++i) {
      const int expected = i < test.elements[e] ? value(static_cast<int>(e), i) : 77;
      require_equal("sparse_all_gather", chunks.storage[e], i, expected, test.elements[e]);
    }
  }
}

template <class T>
void check_reduce(const Communicator& comm, const SparseCase& test, SparseAlgorithm algorithm) {
  const auto bytes = bytes_of(test, sizeof(T));
  const auto schedule = plan_reduce(request_of(test, bytes, algorithm, 4096));
  const auto fill = [&](int e, int64_t i) { return from_int<T>(value_of(comm.rank() + e, i)); };
  Chunks<T> in = make_chunks<T>(test, comm.rank(), fill);
  Chunks<T> out = make_chunks<T>(test, comm.rank(), [](int, int64_t) { return from_int<T>(77); });
  sparse_reduce_scatter(comm, schedule, in.readable(), out.data, dtype_of<T>()).wait();
  for (size_t e = 0; e < in.storage.size(); ++e) {
    const bool mine = test.owners[e] == comm.rank();
    for (int64_t i = 0; i < std::ssize(in.storage[e]); ++i) {
      const auto chunk = static_cast<int>(e);
      require_equal("input of sparse_reduce_scatter", in.storage[e], i,
                    value_of(comm.rank() + chunk, i), test.elements[e]);
      int sum = 0;
      for (int holder : test.materialized.holders(chunk)) sum += value_of(holder + chunk, i);
      const int expected = mine && i < test.elements[e] ? sum : 77;
      require_equal("sparse_reduce_scatter", out.storage[e], i, expected, test.elements[e]);
    }
  }
}

int ranks_per_node(const Communicator& comm) {
  int count = 0;
  for (int node : comm.nodes()) count += node == comm.nodes()[0] ? 1 : 0;
  return count;
}

}  // namespace

void sparse_pair_matches_a_direct_computation(const Communicator& world) {
  for (uint64_t seed = 0; seed < 6; ++seed) {
    // The planner may be told of nodes that differ from the real ones.
    const int per_node = seed % 2 == 0 ? ranks_per_node(world) : 1 + static_cast<int>(seed / 2);
    const SparseCase test =
        random_sparse_case(seed, world.size(), per_node, 1 + static_cast<int>(seed) * 2, 9000);
    for (SparseAlgorithm algorithm : kAlgorithms) {
      check_gather<float>(world, test, algorithm, DType::f32);
      check_gather<float>(world, test, algorithm, DType::bf16);
      check_gather<bf16>(world, test, algorithm, DType::bf16);
      check_reduce<float>(world, test, algorithm);
      check_reduce<bf16>(world, test, algorithm);
      check_reduce<double>(world, test, algorithm);
    }
  }
}

void sparse_sums_have_the_same_bits(const Communicator& world) {
  const SparseCase test = random_sparse_case(99, world.size(), 2, 9, 20000);
  const auto bytes = bytes_of(test, sizeof(float));
  const auto fill = [&](int e, int64_t i) {
    return 1.0f / static_cast<float>(1 + (i * 7 + e * 3 + world.rank() * 11) % 997);
  };
  Chunks<float> in = make_chunks<float>(test, world.rank(), fill);
  std::vector<Chunks<float>> results;
  for (SparseAlgorithm algorithm : {SparseAlgorithm::direct, SparseAlgorithm::tree}) {
    for (int64_t segment : {1 << 12, 1 << 16}) {
      const auto schedule = plan_reduce(request_of(test, bytes, algorithm, segment));
      results.push_back(make_chunks<float>(test, world.rank(), fill));
      sparse_reduce_scatter(world, schedule, in.readable(), results.back().data, DType::f32).wait();
      require(results.back().storage == results.front().storage, "spRS by ", name_of(algorithm),
              " gave other bits than direct");
    }
  }
}

}  // namespace hecate::collectives::contract
