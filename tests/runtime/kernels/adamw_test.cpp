#include "runtime/kernels/adamw.h"

#include "tests/runtime/kernels/support.h"

namespace hecate::kernels {
namespace {

using namespace hecate::testing;  // NOLINT: the vocabulary of these tests

struct State {
  explicit State(int64_t n)
      : p(Matrix::normal(1, n, 1)), m(Matrix::constant(1, n, 0)), v(Matrix::constant(1, n, 0)) {}
  AdamWPiece piece(const Matrix& g, int64_t begin, int64_t size) {
    return {.parameter = p.data() + begin,
            .gradient = g.data() + begin,
            .first_moment = m.data() + begin,
            .second_moment = v.data() + begin,
            .size = size};
  }
  Matrix p, m, v;
};

Matrix gradient(int64_t n, int64_t step) {
  return Matrix::normal(1, n, 100 + static_cast<uint64_t>(step), 0.3);
}

// One step as torch.optim.AdamW computes it (its single-tensor path), in f64.
void torch_step(const AdamW& o, Reference& p, const Matrix& g, Reference& m, Reference& v) {
  const double correction1 = 1 - std::pow(o.beta1, static_cast<double>(o.step));
  const double correction2 = 1 - std::pow(o.beta2, static_cast<double>(o.step));
  for (int64_t i = 0; i < p.cols; ++i) {
    const double grad = g.at(0, i) * o.gradient_scale;
    p(0, i) *= 1 - o.rate * o.weight_decay;
    m(0, i) += (1 - o.beta1) * (grad - m(0, i));
    v(0, i) = o.beta2 * v(0, i) + (1 - o.beta2) * grad * grad;
    const double denominator = std::sqrt(v(0, i)) / std::sqrt(correction2) + o.eps;
    p(0, i) -= o.rate / correction1 * m(0, i) / denominator;
  }
}

TEST(AdamW, MatchesTorchOverSeveralSteps) {
  for (const double beta2 : {0.95, 0.999}) {
    const int64_t n = 1003;
    State state(n);
    Reference p(state.p), m(state.m), v(state.v);
    Device device;
    AdamW o{.rate = 3e-3, .beta1 = 0.9, .beta2 = beta2, .eps = 1e-8, .weight_decay = 0.1};
    o.gradient_scale = 0.7;
    for (o.step = 1; o.step <= 20; ++o.step) {
      const Matrix g = gradient(n, o.step);
      const AdamWPiece piece = state.piece(g, 0, n);
      adamw(device.stream, o, {&piece, 1});
      torch_step(o, p, g, m, v);
    }
    expect_near(state.p, p, kElement, "parameter");
    expect_near(state.m, m, kElement, "first moment");
    for (int64_t i = 0; i < n; ++i)
      EXPECT_NEAR(state.v.at(0, i), v(0, i), 4 * kElement * v(0, i)) << i;
  }
}

TEST(AdamW, ZeroGradientOnlyDecays) {
  State state(5);
  Reference want(state.p);
  for (double& value : want.values) value *= 1 - 0.01 * 0.5;
  const Matrix g = Matrix::constant(1, 5, 0);
  Device device;
  const AdamWPiece piece = state.piece(g, 0, 5);
  AdamW o{.rate = 0.01};
  o.weight_decay = 0.5;
  adamw(device.stream, o, {&piece, 1});
  expect_near(state.p, want, kElement);
}

Matrix run_cut(Stream& s, const std::vector<int64_t>& cuts, int64_t n) {
  State state(n);
  for (int64_t step = 1; step <= 3; ++step) {
    const Matrix g = gradient(n, step);
    std::vector<AdamWPiece> pieces;
    for (size_t i = 0; i + 1 < cuts.size(); ++i)
      pieces.push_back(state.piece(g, cuts[i], cuts[i + 1] - cuts[i]));
    AdamW o{.rate = 1e-2};
    o.weight_decay = 0.1;
    o.step = step;
    adamw(s, o, pieces);
  }
  return state.p;
}

TEST(AdamW, CutsDoNotChangeBits) {
  const int64_t n = 70001;
  Device device;
  const Matrix whole = run_cut(device.stream, {0, n}, n);
  EXPECT_TRUE(run_cut(device.stream, {0, 1, 1, 8, 33, 40000, 69999, n}, n).same_bits(whole));
}

TEST(AdamW, ThreadCountDoesNotChangeBits) {
  expect_same_bits_for_thread_counts([](Stream& s) { return run_cut(s, {0, 5, 100003}, 100003); });
}

TEST(AdamW, NothingToDo) {
  Device device;
  adamw(device.stream, {}, {});
  const AdamWPiece empty;
  adamw(device.stream, {}, {&empty, 1});
}

TEST(AdamW, RejectsStepZero) {
  Device device;
  AdamW o;
  o.step = 0;
  EXPECT_THROW(adamw(device.stream, o, {}), InvalidArgument);
}

}  // namespace
}  // namespace hecate::kernels
