#include "runtime/kernels/attention.h"

#include "benchmarks/kernels/harness.h"

namespace hecate::benchmarks {
namespace {

// Arguments: sequences, sequence, heads, head size, 0 forward | 1 backward. Causal; q, k and v are
// columns of one projection. Flops count the causal half only.
void attention(benchmark::State& state) {
  const int64_t sequence = state.range(1), tokens = state.range(0) * sequence;
  const int64_t heads = state.range(2), n = state.range(3), width = heads * n;
  Device device;
  std::vector<Real> qkv = normal(3 * tokens * width, 1), dqkv(qkv.size());
  const std::vector<Real> dout = normal(tokens * width, 2);
  std::vector<Real> out(dout.size()), lse(static_cast<size_t>(tokens * heads));
  const Shape shape = {tokens, heads, n};
  const auto part = [&](std::vector<Real>& x, int64_t index) {
    return View<Real>(x.data() + index * width, shape, 3 * width);
  };
  const View<const Real> q = part(qkv, 0), k = part(qkv, 1), v = part(qkv, 2);
  const View<Real> y(out.data(), shape), statistics(lse.data(), {tokens, heads});
  const kernels::AttentionShape causal{.sequence = sequence, .causal = true, .scale = Real(0.125)};
  const bool backward = state.range(4) != 0;
  kernels::attention(device.stream, causal, q, k, v, {}, y, statistics);
  measure(state, device,
          (backward ? 10.0 : 4.0) * static_cast<double>(tokens * width) *
              static_cast<double>(sequence + 1) / 2,
          0, [&] {
            if (!backward)
              kernels::attention(device.stream, causal, q, k, v, {}, y, statistics);
            else
              kernels::attention_backward(device.stream, causal, q, k, v, {}, y, statistics,
                                          {dout.data(), shape}, part(dqkv, 0), part(dqkv, 1),
                                          part(dqkv, 2));
          });
}
BENCHMARK(attention)->UseManualTime()->ArgsProduct({{4}, {512}, {8}, {64}, {0, 1}});

}  // namespace
}  // namespace hecate::benchmarks
