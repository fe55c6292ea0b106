#include <benchmark/benchmark.h>

#include <cmath>
#include <numeric>

#include "runtime/base/rng.h"
#include "sharding/balanced/planner.h"
#include "sharding/balanced/split.h"
#include "sharding/ownership.h"

/// planner = balanced on one layer: devices x experts, 8 devices to a node, 2 copies per device,
/// Zipf 1.2 loads with noise per node.
namespace hecate::benchmarks {
namespace {

using namespace sharding;

struct Layer {
  Layer(int devices, int experts, balanced::Objective objective) : nodes(nodes_of(devices)) {
    LayerCost cost;
    cost.topology = collectives::Topology::uniform(devices, 8, {300e9, 5e-6}, {12.5e9, 15e-6});
    cost.seconds_per_row = 2.3e-7;
    cost.row_bytes = 1536;
    cost.gather_bytes = 4.7e6;
    cost.reduce_bytes = 9.4e6;
    model = balanced::model_hiding(cost, 8, objective);
    const Ownership even = even_ownership(1, experts, nodes.node_of());
    owner.assign(even.layer(0).begin(), even.layer(0).end());
    draw(experts, 1);
  }
  void draw(int experts, uint64_t seed) {
    const CounterRng rng(seed, stream_of("balanced bench"));
    counts.clear();
    uint64_t draw = 0;
    for (int d = 0; d < nodes.devices(); ++d)
      for (int e = 0; e < experts; ++e) {
        const double rank = 1 + (e * 97) % experts;
        counts.push_back(
            static_cast<int64_t>(4e4 * std::pow(rank, -1.2) * (0.7 + 0.6 * rng.uniform(draw++))));
      }
    rows = balanced::rows_by_node(counts, experts, nodes);
  }
  static NodeMap nodes_of(int devices) {
    std::vector<int> node_of;
    for (int d = 0; d < devices; ++d) node_of.push_back(d / 8);
    return NodeMap(node_of);
  }
  balanced::Problem problem() const {
    return {.model = &model, .nodes = &nodes, .owner = owner, .node_rows = rows, .slots = 2};
  }

  NodeMap nodes;
  balanced::Model model;
  std::vector<int> owner;
  std::vector<int64_t> counts, rows;
};

balanced::Objective objective_of(const benchmark::State& state) {
  return state.range(2) == 0 ? balanced::Objective::time : balanced::Objective::balance;
}

// Devices, experts, objective (0: time, 1: balance).
void plan(benchmark::State& state) {
  const Layer layer(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)),
                    objective_of(state));
  for (auto _ : state) benchmark::DoNotOptimize(balanced::plan_layer(layer.problem(), 8));
  const auto found = balanced::plan_layer(layer.problem(), 8);
  state.counters["over_bound"] =
      objective_of(state) == balanced::Objective::time
          ? found.time.total() / found.bound.seconds
          : static_cast<double>(found.rows) / static_cast<double>(found.bound.rows);
}
BENCHMARK(plan)
    ->Unit(benchmark::kMillisecond)
    ->ArgsProduct({{16}, {32}, {0, 1}})
    ->ArgsProduct({{256, 1024, 4096}, {256}, {0, 1}});

// What a layer does between its counts and its tokens: rows per holder, then every piece.
void split(benchmark::State& state) {
  Layer layer(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)),
              objective_of(state));
  const auto placement = balanced::plan_layer(layer.problem(), 8).placement;
  layer.draw(static_cast<int>(state.range(1)), 2);
  balanced::Splitter splitter;
  for (auto _ : state) {
    const auto rows =
        balanced::rows_by_node(layer.counts, static_cast<int>(state.range(1)), layer.nodes);
    balanced::Problem problem = layer.problem();
    problem.node_rows = rows;
    splitter.split(problem, placement);
    benchmark::DoNotOptimize(plan_dispatch_to(layer.counts, placement, layer.nodes.node_of(),
                                              balanced::holder_rows(splitter, placement)));
  }
}
BENCHMARK(split)
    ->Unit(benchmark::kMicrosecond)
    ->ArgsProduct({{16}, {32}, {0, 1}})
    ->ArgsProduct({{256}, {256}, {0, 1}});

void correct(benchmark::State& state) {
  Layer layer(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)),
              objective_of(state));
  const auto placement = balanced::plan_layer(layer.problem(), 8).placement;
  layer.draw(static_cast<int>(state.range(1)), 2);
  for (auto _ : state)
    benchmark::DoNotOptimize(balanced::correct(layer.problem(), placement, true));
}
BENCHMARK(correct)->Unit(benchmark::kMillisecond)->ArgsProduct({{16}, {32}, {0, 1}});

void bound(benchmark::State& state) {
  const Layer layer(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)),
                    balanced::Objective::time);
  for (auto _ : state) benchmark::DoNotOptimize(balanced::lower_bound(layer.problem()));
}
BENCHMARK(bound)
    ->Unit(benchmark::kMicrosecond)
    ->Args({16, 32})
    ->Args({256, 256})
    ->Args({1024, 256});

}  // namespace
}  // namespace hecate::benchmarks
