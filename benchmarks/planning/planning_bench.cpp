#include <benchmark/benchmark.h>

#include <cmath>

#include "runtime/base/rng.h"
#include "sharding/loads.h"
#include "sharding/materialization.h"
#include "sharding/ownership.h"
#include "sharding/strategy.h"

/// What planning costs on one rank: 64 layers of 256 experts over 64 devices on 8 nodes by default.
/// Loads fall like 1 / rank of the expert, in another order in every layer.
namespace hecate::benchmarks {
namespace {

using namespace sharding;

struct Problem {
  Problem(int layer_count, int expert_count, int device_count)
      : layers(layer_count), experts(expert_count), devices(device_count) {
    for (int d = 0; d < devices; ++d) node_of.push_back(d / 8);
  }

  StepLoads loads() const {
    StepLoads step({layers, devices, experts});
    const CounterRng rng(1, stream_of("planning"));
    uint64_t draw = 0;
    for (int l = 0; l < layers; ++l) {
      const uint64_t first = rng.below(draw++, static_cast<uint64_t>(experts));
      for (size_t i = 0; i < step.layer(l).size(); ++i) {
        const uint64_t rank = (i * 97 + first) % static_cast<uint64_t>(experts);
        step.layer(l)[i] = static_cast<int64_t>(2000.0 / static_cast<double>(rank + 1) *
                                                (0.5 + rng.uniform(draw++)));
      }
    }
    return step;
  }
  StrategyInputs inputs(int t, int m) const {
    return {.layers = layers,
            .experts = experts,
            .node_of = node_of,
            .overlap_degree = t,
            .memory_capacity = m};
  }

  int layers, experts, devices;
  std::vector<int> node_of;
};

std::vector<double> totals(const StepLoads& step, int layer) {
  LoadTracker tracker(step.shape);
  tracker.record(step);
  return tracker.forecast(layer);
}

// Algorithm 1, one layer. t, m.
void materialize_layer(benchmark::State& state) {
  const Problem problem(1, 256, 64);
  const auto loads = totals(problem.loads(), 0);
  const auto owners = even_ownership(1, 256, problem.node_of).placement(0);
  const auto t = static_cast<int>(state.range(0)), m = static_cast<int>(state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(materialize(owners, loads, t, m, problem.node_of));
}
BENCHMARK(materialize_layer)->Args({8, 8})->Args({16, 4})->Args({64, 8})->Args({256, 32});

// Forecasts and algorithm 1 of all layers: what a step waits for.
void plan_step(benchmark::State& state) {
  const Problem problem(64, 256, 64);
  const auto strategy = make_strategy("fssdp", problem.inputs(16, 4));
  LoadTracker tracker({64, 64, 256});
  tracker.record(problem.loads());
  const Ownership owners = strategy->initial_owners();
  for (auto _ : state) benchmark::DoNotOptimize(strategy->plan_step(owners, tracker));
}
BENCHMARK(plan_step)->Unit(benchmark::kMillisecond);

void record_step(benchmark::State& state) {
  const StepLoads step = Problem(64, 256, 64).loads();
  LoadTracker tracker(step.shape);
  for (auto _ : state) tracker.record(step);
}
BENCHMARK(record_step)->Unit(benchmark::kMillisecond);

// Algorithm 2, all layers.
void reshard_all(benchmark::State& state) {
  const Problem problem(64, 256, 64);
  const StepLoads step = problem.loads();
  std::vector<std::vector<double>> loads;
  for (int l = 0; l < 64; ++l) loads.push_back(totals(step, l));
  const Ownership present = even_ownership(64, 256, problem.node_of);
  for (auto _ : state) benchmark::DoNotOptimize(reshard(loads, 16, problem.node_of, &present));
}
BENCHMARK(reshard_all)->Unit(benchmark::kMillisecond);

// The split of one layer's tokens. Policy, t, m.
void dispatch_layer(benchmark::State& state) {
  const Problem problem(1, 256, 64);
  const StepLoads step = problem.loads();
  const auto owners = even_ownership(1, 256, problem.node_of).placement(0);
  const auto placement = materialize(owners, totals(step, 0), static_cast<int>(state.range(1)),
                                     static_cast<int>(state.range(2)), problem.node_of);
  const auto policy = static_cast<DispatchPolicy>(state.range(0));
  for (auto _ : state)
    benchmark::DoNotOptimize(plan_dispatch(step.layer(0), placement, problem.node_of, policy));
}
BENCHMARK(dispatch_layer)->ArgsProduct({{0, 1}, {16}, {4}})->ArgsProduct({{0, 1}, {64}, {8}});

}  // namespace
}  // namespace hecate::benchmarks
