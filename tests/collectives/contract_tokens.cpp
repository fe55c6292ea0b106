#include "tests/collectives/contract_tokens.h"

#include "collectives/token_exchange.h"
#include "runtime/base/rng.h"
#include "tests/collectives/contract_values.h"

namespace hecate::collectives::contract {
namespace {

constexpr int64_t kWidth = 5;  // elements per row

template <class T>
std::vector<T> rows_between(int source, int destination, int64_t rows) {
  return input_of<T>(source, rows * kWidth, /*offset=*/destination * 13);
}

template <class T>
void check_round_trip(const Communicator& comm, const TokenPlan& plan) {
  std::vector<T> in, expected;
  for (int r = 0; r < comm.size(); ++r) {
    const auto leaving = rows_between<T>(comm.rank(), r, plan.count(comm.rank(), r));
    const auto coming = rows_between<T>(r, comm.rank(), plan.count(r, comm.rank()));
    in.insert(in.end(), leaving.begin(), leaving.end());
    expected.insert(expected.end(), coming.begin(), coming.end());
  }
  std::vector<T> out(expected.size()), back(in.size());
  const int64_t row_bytes = kWidth * static_cast<int64_t>(sizeof(T));
  dispatch_rows(comm, plan, in.data(), out.data(), row_bytes).wait();
  for (size_t i = 0; i < out.size(); ++i)
    require(to_double(out[i]) == to_double(expected[i]), name_of(plan.algorithm),
            " dispatch: element ", i);
  combine_rows(comm, plan, out.data(), back.data(), row_bytes).wait();
  for (size_t i = 0; i < in.size(); ++i)
    require(to_double(back[i]) == to_double(in[i]), name_of(plan.algorithm), " combine: element ",
            i);
}

}  // namespace

void token_rows_go_and_come_back(const Communicator& world) {
  const auto n = static_cast<size_t>(world.size());
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const CounterRng rng(seed, static_cast<uint64_t>(world.rank()));
    std::vector<int64_t> mine(n), all(n * n);
    // Mostly some rows, often none, sometimes many; seed 4 moves nothing at all.
    for (size_t d = 0; d < n; ++d) {
      const uint64_t kind = rng.below(2 * d, 4);
      const uint64_t limit = kind == 0 ? 1 : kind == 1 ? 2000 : 60;
      mine[d] = seed == 4 ? 0 : static_cast<int64_t>(rng.below(2 * d + 1, limit));
    }
    gather_row_counts(world, mine, all).wait();
    Topology topology{
        .node_of = {world.nodes().begin(), world.nodes().end()}, .inside = {}, .between = {}};
    // Nodes interleaved over the ranks: nothing may rely on their being adjacent.
    if (seed == 2)
      for (size_t r = 0; r < n; ++r) topology.node_of[r] = static_cast<int>(r % ((n + 1) / 2));
    for (auto algorithm :
         {ExchangeAlgorithm::flat, ExchangeAlgorithm::hierarchical, ExchangeAlgorithm::automatic}) {
      const TokenPlan plan = plan_token_exchange(all, 20, topology, algorithm);
      check_round_trip<float>(world, plan);
      check_round_trip<bf16>(world, plan);
    }
  }
}

}  // namespace hecate::collectives::contract
