#include "benchmarks/kernels/harness.h"
#include "runtime/kernels/activation.h"
#include "runtime/kernels/adamw.h"
#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/permute.h"
#include "runtime/kernels/router.h"

/// Kernels that memory limits; GB/s counts each operand once. `copy` is the yardstick.
namespace hecate::benchmarks {
namespace {

constexpr double kBytes = sizeof(Real);

struct Buffers {
  explicit Buffers(int64_t size) {
    for (uint64_t i = 0; i < 4; ++i) data.push_back(normal(size, i));
    for (Real& v : data[3]) v *= v;
  }
  View<Real> matrix(size_t index, int64_t rows, int64_t cols) {
    return {data[index].data(), {rows, cols}};
  }
  std::vector<std::vector<Real>> data;
};

void copy(benchmark::State& state) {
  Device device;
  Buffers b(state.range(0));
  measure(state, device, 0, 2 * kBytes * static_cast<double>(state.range(0)), [&] {
    kernels::copy(device.stream, b.matrix(0, 1, state.range(0)), b.matrix(1, 1, state.range(0)));
  });
}
BENCHMARK(copy)->UseManualTime()->Arg(1 << 20)->Arg(1 << 24);

void adamw(benchmark::State& state) {
  Device device;
  Buffers b(state.range(0));
  const kernels::AdamWPiece piece{.parameter = b.data[0].data(),
                                  .gradient = b.data[1].data(),
                                  .first_moment = b.data[2].data(),
                                  .second_moment = b.data[3].data(),
                                  .size = state.range(0)};
  measure(state, device, 0, 7 * kBytes * static_cast<double>(state.range(0)), [&] {
    kernels::adamw(device.stream, {}, {&piece, 1});
  });
}
BENCHMARK(adamw)->UseManualTime()->Arg(1 << 20)->Arg(1 << 24);

void sum_of_squares(benchmark::State& state) {
  Device device;
  Buffers b(state.range(0));
  measure(state, device, 0, kBytes * static_cast<double>(state.range(0)), [&] {
    benchmark::DoNotOptimize(
        kernels::sum_of_squares(device.stream, b.matrix(0, 1, state.range(0))));
  });
}
BENCHMARK(sum_of_squares)->UseManualTime()->Arg(1 << 24);

void first_non_finite(benchmark::State& state) {
  Device device;
  Buffers b(state.range(0));
  measure(state, device, 0, kBytes * static_cast<double>(state.range(0)), [&] {
    benchmark::DoNotOptimize(
        kernels::first_non_finite(device.stream, b.matrix(0, 1, state.range(0))));
  });
}
BENCHMARK(first_non_finite)->UseManualTime()->Arg(1 << 24);

// Argument: the activation; 4096 rows of 1024.
void activation(benchmark::State& state) {
  Device device;
  Buffers b(4096 * 1024);
  const auto kind = static_cast<kernels::Activation>(state.range(0));
  measure(state, device, 0, 2 * kBytes * 4096 * 1024, [&] {
    kernels::activation(device.stream, kind, b.matrix(0, 4096, 1024), b.matrix(1, 4096, 1024));
  });
}
BENCHMARK(activation)->UseManualTime()->DenseRange(0, 3);

void activation_backward(benchmark::State& state) {
  Device device;
  Buffers b(4096 * 1024);
  const auto kind = static_cast<kernels::Activation>(state.range(0));
  measure(state, device, 0, 3 * kBytes * 4096 * 1024, [&] {
    kernels::activation_backward(device.stream, kind, b.matrix(0, 4096, 1024),
                                 b.matrix(1, 4096, 1024), b.matrix(2, 4096, 1024));
  });
}
BENCHMARK(activation_backward)->UseManualTime()->DenseRange(0, 3);

// Arguments: experts, top-k; 2048 tokens of width 512: choice, plan, permute, unpermute.
void routing(benchmark::State& state) {
  const int64_t tokens = 2048, width = 512, experts = state.range(0), top_k = state.range(1);
  Device device;
  Stream& s = device.stream;
  Buffers b(tokens * top_k * width);
  const std::vector<Real> logits = normal(tokens * experts, 9);
  std::vector<Real> p(logits.size()), weights(static_cast<size_t>(tokens * top_k));
  std::vector<int32_t> chosen(weights.size()), row_of(weights.size()), choice_of(weights.size());
  std::vector<int64_t> offsets(static_cast<size_t>(experts) + 1);
  measure(state, device, 0, kBytes * static_cast<double>((2 * top_k + top_k + 1) * tokens * width),
          [&] {
            kernels::route(s, kernels::Gate::softmax_renormalized,
                           {logits.data(), {tokens, experts}}, {}, {p.data(), {tokens, experts}},
                           {chosen.data(), {tokens, top_k}}, {weights.data(), {tokens, top_k}});
            const int64_t rows = kernels::plan_permutation(
                s, {chosen.data(), {tokens, top_k}}, offsets, {row_of.data(), {tokens, top_k}},
                {choice_of.data(), {tokens * top_k}});
            kernels::permute(s, b.matrix(0, tokens, width), top_k, {choice_of.data(), {rows}},
                             b.matrix(1, rows, width));
            kernels::unpermute(s, b.matrix(1, rows, width), {row_of.data(), {tokens, top_k}},
                               {weights.data(), {tokens, top_k}}, b.matrix(2, tokens, width),
                               false);
          });
}
BENCHMARK(routing)->UseManualTime()->Args({8, 2})->Args({64, 8});

}  // namespace
}  // namespace hecate::benchmarks
