#include "runtime/kernels/gemm.h"

#include <cmath>

#include "benchmarks/kernels/harness.h"
#include "runtime/kernels/cross_entropy.h"

namespace hecate::benchmarks {
namespace {

using kernels::Transpose;

// Arguments: M, N, K, transpose a, transpose b.
void gemm(benchmark::State& state) {
  const int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const bool ta = state.range(3) != 0, tb = state.range(4) != 0;
  Device device;
  const std::vector<Real> a = normal(m * k, 1), b = normal(k * n, 2);
  std::vector<Real> c(static_cast<size_t>(m * n));
  const View<const Real> va(a.data(), ta ? Shape{k, m} : Shape{m, k});
  const View<const Real> vb(b.data(), tb ? Shape{n, k} : Shape{k, n});
  measure(state, device, 2.0 * static_cast<double>(m * n * k), 0, [&] {
    kernels::gemm(device.stream, ta ? Transpose::yes : Transpose::no,
                  tb ? Transpose::yes : Transpose::no, 1, va, vb, 0, {c.data(), {m, n}});
  });
}
BENCHMARK(gemm)
    ->UseManualTime()
    ->Args({2048, 1536, 512, 0, 1})
    ->Args({2048, 512, 512, 0, 1})
    ->Args({512, 1024, 512, 0, 1})
    ->Args({2048, 512, 2048, 0, 1})
    ->Args({2048, 512, 1536, 0, 0})
    ->Args({1536, 512, 2048, 1, 0})
    ->Args({512, 512, 2048, 1, 0})
    ->Args({256, 8192, 512, 0, 1})
    ->Args({256, 512, 8192, 0, 0})
    ->Args({8192, 512, 256, 1, 0});

// Loads of `experts` experts for `rows` rows: even, or falling as 1/rank.
std::vector<int64_t> offsets_of(int64_t rows, int64_t experts, bool zipf) {
  double total = 0;
  for (int64_t e = 0; e < experts; ++e) total += zipf ? 1.0 / static_cast<double>(e + 1) : 1.0;
  std::vector<int64_t> offsets = {0};
  double sum = 0;
  for (int64_t e = 0; e < experts; ++e) {
    sum += zipf ? 1.0 / static_cast<double>(e + 1) : 1.0;
    offsets.push_back(std::llround(static_cast<double>(rows) * sum / total));
  }
  return offsets;
}

// Arguments: rows, experts, zipf, 0 forward | 1 input gradient | 2 weight gradient. N 1024, K 512.
void grouped(benchmark::State& state) {
  const int64_t rows = state.range(0), experts = state.range(1), n = 1024, k = 512;
  Device device;
  const std::vector<int64_t> offsets = offsets_of(rows, experts, state.range(2) != 0);
  const std::vector<Real> weights = normal(experts * n * k, 1), x = normal(rows * k, 2),
                          dy = normal(rows * n, 3);
  std::vector<Real> y(static_cast<size_t>(rows * n)), dx(static_cast<size_t>(rows * k)),
      dw(static_cast<size_t>(experts * n * k));
  std::vector<const Real*> w;
  std::vector<Real*> g;
  for (int64_t e = 0; e < experts; ++e) {
    w.push_back(weights.data() + e * n * k);
    g.push_back(dw.data() + e * n * k);
  }
  const View<const Real> vx(x.data(), {rows, k}), vdy(dy.data(), {rows, n});
  measure(state, device, 2.0 * static_cast<double>(rows * n * k), 0, [&] {
    if (state.range(3) == 0)
      kernels::grouped_linear(device.stream, vx, offsets, {.data = w, .n = n, .k = k},
                              {y.data(), {rows, n}});
    else if (state.range(3) == 1)
      kernels::grouped_linear_backward_input(device.stream, vdy, offsets,
                                             {.data = w, .n = n, .k = k}, {dx.data(), {rows, k}});
    else
      kernels::grouped_linear_backward_weight(device.stream, vdy, vx, offsets,
                                              {.data = g, .n = n, .k = k}, true);
  });
}
BENCHMARK(grouped)->UseManualTime()->ArgsProduct({{4096}, {8, 64}, {0, 1}, {0, 1, 2}});

// Arguments: chunk rows, percent of masked tokens. T 2048, D 512, V 8192.
void head(benchmark::State& state) {
  const int64_t tokens = 2048, width = 512, vocabulary = 8192;
  Device device;
  const std::vector<Real> x = normal(tokens * width, 1), w = normal(vocabulary * width, 2);
  std::vector<Real> dx(x.size()), dw(w.size());
  const CounterRng rng(3, 0);
  std::vector<int32_t> targets;
  int64_t valid = 0;
  for (uint64_t t = 0; t < static_cast<uint64_t>(tokens); ++t) {
    const bool masked = rng.below(2 * t, 100) < static_cast<uint64_t>(state.range(1));
    targets.push_back(
        masked ? -1
               : static_cast<int32_t>(rng.below(2 * t + 1, static_cast<uint64_t>(vocabulary))));
    valid += masked ? 0 : 1;
  }
  const kernels::HeadOptions options{.logit_scale = Real(0.05), .chunk_rows = state.range(0)};
  measure(state, device, 6.0 * static_cast<double>(valid * width * vocabulary), 0, [&] {
    kernels::head_loss_and_gradient(device.stream, options, 1, {x.data(), {tokens, width}},
                                    {w.data(), {vocabulary, width}}, {targets.data(), {tokens}},
                                    {dx.data(), {tokens, width}}, {dw.data(), {vocabulary, width}});
  });
}
BENCHMARK(head)->UseManualTime()->Args({128, 0})->Args({256, 0})->Args({512, 0})->Args({256, 85});

}  // namespace
}  // namespace hecate::benchmarks
