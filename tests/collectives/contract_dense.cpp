#include "tests/collectives/contract_dense.h"

#include <algorithm>
#include <numeric>

#include "tests/collectives/contract_values.h"

namespace hecate::collectives::contract {
namespace {

template <class T>
void check_all_reduce(const Communicator& comm, int64_t count) {
  const std::vector<T> in = input_of<T>(comm.rank(), count);
  std::vector<T> out(in.size());
  comm.all_reduce(in.data(), out.data(), count, dtype_of<T>(), ReduceOp::sum).wait();
  std::vector<T> in_place = in;
  comm.all_reduce(in_place.data(), in_place.data(), count, dtype_of<T>(), ReduceOp::sum).wait();
  for (int64_t i = 0; i < count; ++i) {
    const int expected = sum_at(comm.size(), i);
    require_equal("all_reduce", out, i, expected, count);
    require_equal("all_reduce in place", in_place, i, expected, count);
  }
}

template <class T>
void check_extremes(const Communicator& comm, int64_t count) {
  const std::vector<T> in = input_of<T>(comm.rank(), count);
  std::vector<T> largest(in.size()), smallest(in.size());
  comm.all_reduce(in.data(), largest.data(), count, dtype_of<T>(), ReduceOp::max).wait();
  comm.all_reduce(in.data(), smallest.data(), count, dtype_of<T>(), ReduceOp::min).wait();
  for (int64_t i = 0; i < count; ++i) {
    int most = value_of(0, i), least = value_of(0, i);
    for (int r = 1; r < comm.size(); ++r) {
      most = std::max(most, value_of(r, i));
      least = std::min(least, value_of(r, i));
    }
    require_equal("max", largest, i, most, count);
    require_equal("min", smallest, i, least, count);
  }
}

template <class T>
void check_reduce(const Communicator& comm, int64_t count, int root) {
  const std::vector<T> in = input_of<T>(comm.rank(), count);
  std::vector<T> out(in.size());
  comm.reduce(in.data(), out.data(), count, dtype_of<T>(), ReduceOp::sum, root).wait();
  if (comm.rank() != root) return;
  for (int64_t i = 0; i < count; ++i)
    require_equal("reduce", out, i, sum_at(comm.size(), i), count);
}

template <class T>
void check_broadcast(const Communicator& comm, int64_t count, int root) {
  std::vector<T> data = input_of<T>(comm.rank() == root ? root : comm.rank() + 1, count);
  comm.broadcast(data.data(), count, dtype_of<T>(), root).wait();
  for (int64_t i = 0; i < count; ++i) require_equal("broadcast", data, i, value_of(root, i), count);
}

// Unequal blocks, some of them empty.
std::vector<int64_t> uneven_counts(int ranks, int64_t count) {
  std::vector<int64_t> counts;
  for (int r = 0; r < ranks; ++r) counts.push_back(r % 3 == 2 ? 0 : count / (r + 1) + r);
  return counts;
}

template <class T>
void check_gather(const Communicator& comm, const std::vector<int64_t>& counts) {
  const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  const auto in = input_of<T>(comm.rank(), counts[static_cast<size_t>(comm.rank())]);
  std::vector<T> out(static_cast<size_t>(total));
  comm.all_gather_v(in.data(), out.data(), counts, dtype_of<T>()).wait();
  int64_t at = 0;
  for (int r = 0; r < comm.size(); ++r)
    for (int64_t i = 0; i < counts[static_cast<size_t>(r)]; ++i, ++at)
      require_equal("all_gather", out, at, value_of(r, i), total);
}

template <class T>
void check_scatter(const Communicator& comm, const std::vector<int64_t>& counts) {
  const auto me = static_cast<size_t>(comm.rank());
  const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  const auto in = input_of<T>(comm.rank(), total);
  std::vector<T> out(static_cast<size_t>(counts[me]));
  comm.reduce_scatter_v(in.data(), out.data(), counts, dtype_of<T>(), ReduceOp::sum).wait();
  const int64_t begin = std::accumulate(counts.begin(), counts.begin() + comm.rank(), int64_t{0});
  for (int64_t i = 0; i < counts[me]; ++i)
    require_equal("reduce_scatter", out, i, sum_at(comm.size(), begin + i), counts[me]);
}

// Rank s sends (s + 2d) mod 5 * unit elements to rank d.
template <class T>
void check_exchange_of_blocks(const Communicator& comm, int64_t unit) {
  const auto length = [&](int source, int destination) {
    return static_cast<int64_t>((source + 2 * destination) % 5) * unit;
  };
  std::vector<int64_t> sends, receives;
  std::vector<T> in;
  for (int r = 0; r < comm.size(); ++r) {
    sends.push_back(length(comm.rank(), r));
    receives.push_back(length(r, comm.rank()));
    const auto block = input_of<T>(comm.rank(), sends.back(), /*offset=*/r * 11);
    in.insert(in.end(), block.begin(), block.end());
  }
  const int64_t total = std::accumulate(receives.begin(), receives.end(), int64_t{0});
  std::vector<T> out(static_cast<size_t>(total));
  comm.all_to_all_v(in.data(), sends, out.data(), receives, dtype_of<T>()).wait();
  int64_t at = 0;
  for (int r = 0; r < comm.size(); ++r)
    for (int64_t i = 0; i < receives[static_cast<size_t>(r)]; ++i, ++at)
      require_equal("all_to_all", out, at, value_of(r, comm.rank() * 11 + i), total);
}

}  // namespace

void all_reduce_adds_every_type_and_size(const Communicator& world) {
  for_each_type([&]<class T>(T) {
    for (int64_t count : sizes()) check_all_reduce<T>(world, count);
  });
}

void all_reduce_finds_extremes(const Communicator& world) {
  for_each_type([&]<class T>(T) {
    for (int64_t count : {int64_t{5}, int64_t{30000}}) check_extremes<T>(world, count);
  });
}

void reduce_reaches_any_root(const Communicator& world) {
  for_each_type([&]<class T>(T) {
    for (int64_t count : sizes())
      check_reduce<T>(world, count, static_cast<int>(count % world.size()));
  });
}

void broadcast_reaches_everybody(const Communicator& world) {
  for_each_type([&]<class T>(T) {
    for (int64_t count : sizes())
      check_broadcast<T>(world, count, static_cast<int>((count + 1) % world.size()));
  });
}

void all_gather_packs_by_rank(const Communicator& world) {
  for_each_type([&]<class T>(T) {
    for (int64_t count : sizes()) {
      const auto n = static_cast<size_t>(world.size());
      check_gather<T>(world, std::vector<int64_t>(n, count / world.size()));
      check_gather<T>(world, uneven_counts(world.size(), count / 2));
    }
  });
}

void reduce_scatter_adds_blocks(const Communicator& world) {
  for_each_type([&]<class T>(T) {
    for (int64_t count : sizes()) {
      const auto n = static_cast<size_t>(world.size());
      check_scatter<T>(world, std::vector<int64_t>(n, count / world.size()));
      check_scatter<T>(world, uneven_counts(world.size(), count / 2));
    }
  });
}

void all_to_all_swaps_blocks(const Communicator& world) {
  for_each_type([&]<class T>(T) {
    for (int64_t unit : {0, 1, 17, 20011}) check_exchange_of_blocks<T>(world, unit);
  });
}

}  // namespace hecate::collectives::contract
