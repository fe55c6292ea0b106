#include "runtime/kernels/cross_entropy.h"

#include "tests/runtime/kernels/support.h"

namespace hecate::kernels {
namespace {

using namespace hecate::testing;  // NOLINT: the vocabulary of these tests

struct Case {
  Case(int64_t tokens, int64_t width, int64_t vocabulary, double spread = 1)
      : x(Matrix::normal(tokens, width, 1, spread)), w(Matrix::normal(vocabulary, width, 2)) {
    const CounterRng rng(3, 0);
    for (int64_t t = 0; t < tokens; ++t)
      targets.push_back(static_cast<int32_t>(
          rng.below(static_cast<uint64_t>(t), static_cast<uint64_t>(vocabulary))));
  }
  View<const int32_t> target_view() const {
    return {targets.data(), {static_cast<int64_t>(targets.size())}};
  }
  Matrix x, w;
  Buffer<int32_t> targets;
};

// -log p(target) of row t, with the usual shift.
double token_loss(const Reference& x, const Reference& w, int64_t t, int32_t target,
                  double logit_scale) {
  std::vector<double> logits(static_cast<size_t>(w.rows), 0.0);
  for (int64_t v = 0; v < w.rows; ++v) {
    for (int64_t d = 0; d < w.cols; ++d) logits[static_cast<size_t>(v)] += x(t, d) * w(v, d);
    logits[static_cast<size_t>(v)] *= logit_scale;
  }
  const double shift = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (double logit : logits) sum += std::exp(logit - shift);
  return shift + std::log(sum) - logits[static_cast<size_t>(target)];
}

double total_loss(const Reference& x, const Reference& w, const Buffer<int32_t>& targets,
                  double logit_scale) {
  double sum = 0;
  for (int64_t t = 0; t < x.rows; ++t)
    if (targets[static_cast<size_t>(t)] >= 0)
      sum += token_loss(x, w, t, targets[static_cast<size_t>(t)], logit_scale);
  return sum;
}

TEST(HeadLoss, MatchesDoublePrecisionForEveryChunkSize) {
  Case c(13, 7, 37);
  c.targets[4] = -1;
  c.targets[12] = -100;
  const Reference x(c.x), w(c.w);
  for (int64_t chunk : {1, 3, 13, 256}) {
    Device device;
    Matrix losses(13, 1);
    const HeadOptions options{.logit_scale = Real(0.7), .chunk_rows = chunk};
    const HeadLoss got =
        head_loss(device.stream, options, c.x.cview(), c.w.cview(), c.target_view(), losses.flat());
    EXPECT_EQ(got.tokens, 11);
    EXPECT_NEAR(got.loss_sum, total_loss(x, w, c.targets, static_cast<double>(Real(0.7))),
                11 * kChain);
    Reference want(13, 1);
    for (int64_t t = 0; t < 13; ++t)
      if (c.targets[static_cast<size_t>(t)] >= 0)
        want(t, 0) =
            token_loss(x, w, t, c.targets[static_cast<size_t>(t)], static_cast<double>(Real(0.7)));
    expect_near(losses, want, kChain);
  }
}

TEST(HeadLoss, GradientsMatchCentralDifferences) {
  Case c(6, 5, 9);
  c.targets[2] = -1;
  const double scale = 0.25;
  for (int64_t chunk : {2, 256}) {
    Device device;
    Matrix dx(6, 5, 2), dw = Matrix::constant(9, 5, 0);
    const HeadOptions options{.logit_scale = Real(0.5), .chunk_rows = chunk};
    const HeadLoss got =
        head_loss_and_gradient(device.stream, options, static_cast<Real>(scale), c.x.cview(),
                               c.w.cview(), c.target_view(), dx.view(), dw.view());
    Reference x(c.x), w(c.w);
    const auto loss = [&] { return scale * total_loss(x, w, c.targets, 0.5); };
    EXPECT_NEAR(got.loss_sum * scale, loss(), 5 * kChain);
    EXPECT_EQ(got.tokens, 5);
    expect_gradient(dx, x, loss, "dx");
    expect_gradient(dw, w, loss, "dw");
  }
}

TEST(HeadLoss, WeightGradientAccumulates) {
  const Case c(5, 4, 6);
  Device device;
  Matrix dx(5, 4), once = Matrix::constant(6, 4, 0), twice = Matrix::constant(6, 4, 0);
  const auto run = [&](Matrix& dw) {
    head_loss_and_gradient(device.stream, {}, 1, c.x.cview(), c.w.cview(), c.target_view(),
                           dx.view(), dw.view());
  };
  run(once);
  run(twice);
  run(twice);
  Reference want(once);
  for (double& value : want.values) value *= 2;
  expect_near(twice, want, kElement);
}

TEST(HeadLoss, AllMaskedGivesZeroAndNoGradient) {
  Case c(5, 4, 6);
  std::fill(c.targets.begin(), c.targets.end(), -1);
  Device device;
  Matrix dx(5, 4), dw = Matrix::constant(6, 4, 3);
  const HeadLoss got = head_loss_and_gradient(device.stream, {}, 1, c.x.cview(), c.w.cview(),
                                              c.target_view(), dx.view(), dw.view());
  EXPECT_EQ(got.tokens, 0);
  EXPECT_EQ(got.loss_sum, 0);
  expect_near(dx, Reference(5, 4), 0);
  expect_near(dw, Reference(Matrix::constant(6, 4, 3)), 0);
}

TEST(HeadLoss, MaskedRowsMayHoldAnything) {
  Case c(4, 3, 5);
  c.targets[1] = -1;
  for (int64_t d = 0; d < 3; ++d) c.x(1, d) = kNan;
  Device device;
  Matrix dx(4, 3), dw = Matrix::constant(5, 3, 0);
  const HeadLoss got = head_loss_and_gradient(device.stream, {}, 1, c.x.cview(), c.w.cview(),
                                              c.target_view(), dx.view(), dw.view());
  EXPECT_TRUE(std::isfinite(got.loss_sum));
  for (int64_t t = 0; t < 4; ++t)
    for (int64_t d = 0; d < 3; ++d) EXPECT_TRUE(std::isfinite(dx.at(t, d))) << t;
  for (int64_t v = 0; v < 5; ++v)
    for (int64_t d = 0; d < 3; ++d) EXPECT_TRUE(std::isfinite(dw.at(v, d))) << v;
}

TEST(HeadLoss, HugeLogitsStayFinite) {
  Case c(4, 3, 7, 1e4);
  Device device;
  Matrix dx(4, 3), dw = Matrix::constant(7, 3, 0);
  const HeadLoss got = head_loss_and_gradient(device.stream, {}, 1, c.x.cview(), c.w.cview(),
                                              c.target_view(), dx.view(), dw.view());
  const double want = total_loss(Reference(c.x), Reference(c.w), c.targets, 1);
  EXPECT_NEAR(got.loss_sum, want, kElement * 1e5);
  for (int64_t t = 0; t < 4; ++t)
    for (int64_t d = 0; d < 3; ++d) EXPECT_TRUE(std::isfinite(dx.at(t, d)));
}

TEST(HeadLoss, NanInOneRowShowsInTheLoss) {
  Case c(4, 3, 5);
  c.x(2, 1) = kNan;
  Device device;
  EXPECT_TRUE(std::isnan(
      head_loss(device.stream, {}, c.x.cview(), c.w.cview(), c.target_view(), {}).loss_sum));
}

TEST(HeadLoss, NoTokens) {
  const Case c(0, 3, 5);
  Device device;
  Matrix dx(0, 3), dw = Matrix::constant(5, 3, 1);
  const HeadLoss got = head_loss_and_gradient(device.stream, {}, 1, c.x.cview(), c.w.cview(),
                                              c.target_view(), dx.view(), dw.view());
  EXPECT_EQ(got.tokens, 0);
  EXPECT_EQ(got.loss_sum, 0);
  expect_near(dw, Reference(Matrix::constant(5, 3, 1)), 0);
}

TEST(HeadLoss, RepeatsBitForBit) {
  const Case c(70, 33, 301);
  const auto run = [&](Matrix& dx, Matrix& dw) {
    Device device;
    return head_loss_and_gradient(device.stream, {.logit_scale = 1, .chunk_rows = 32}, 1,
                                  c.x.cview(), c.w.cview(), c.target_view(), dx.view(), dw.view())
        .loss_sum;
  };
  Matrix dx1(70, 33), dx2(70, 33), dw1 = Matrix::constant(301, 33, 0), dw2 = dw1;
  EXPECT_EQ(run(dx1, dw1), run(dx2, dw2));
  EXPECT_TRUE(dx1.same_bits(dx2));
  EXPECT_TRUE(dw1.same_bits(dw2));
}

TEST(HeadLoss, ScratchIsOneChunkAndStopsGrowing) {
  const Case c(70, 33, 301);
  Device device;
  Matrix dx(70, 33), dw = Matrix::constant(301, 33, 0);
  const auto run = [&] {
    head_loss_and_gradient(device.stream, {.logit_scale = 1, .chunk_rows = 8}, 1, c.x.cview(),
                           c.w.cview(), c.target_view(), dx.view(), dw.view());
    return device.stream.workspace_bytes();
  };
  const size_t first = run();
  EXPECT_LE(first, 8 * (301 + 2 * 33) * sizeof(Real) + 1024);
  EXPECT_EQ(run(), first);
}

TEST(HeadLoss, RejectsWhatDoesNotFitBeforeWritingAnything) {
  Case c(4, 3, 5);
  Device device;
  Matrix dx(4, 3), dw = Matrix::constant(5, 3, 1), narrow(4, 2), losses(3, 1);
  const auto call = [&](View<const Real> x, View<Real> dx_view, View<Real> dw_view,
                        const HeadOptions& options) {
    head_loss_and_gradient(device.stream, options, 1, x, c.w.cview(), c.target_view(), dx_view,
                           dw_view);
  };
  EXPECT_THROW(call(narrow.cview(), dx.view(), dw.view(), {}), InvalidArgument);
  EXPECT_THROW(call(c.x.cview(), narrow.view(), dw.view(), {}), InvalidArgument);
  EXPECT_THROW(call(c.x.cview(), dx.view(), dx.view(), {}), InvalidArgument);
  EXPECT_THROW(call(c.x.cview(), dx.view(), dw.view(), {.logit_scale = 1, .chunk_rows = 0}),
               InvalidArgument);
  EXPECT_THROW(
      head_loss(device.stream, {}, c.x.cview(), c.w.cview(), c.target_view(), losses.flat()),
      InvalidArgument);
  c.targets[3] = 5;
  EXPECT_THROW(call(c.x.cview(), dx.view(), dw.view(), {.logit_scale = 1, .chunk_rows = 1}),
               InvalidArgument);
  expect_near(dw, Reference(Matrix::constant(5, 3, 1)), 0);
}

}  // namespace
}  // namespace hecate::kernels
