#include "runtime/kernels/router.h"

#include "tests/runtime/kernels/support.h"

namespace hecate::kernels {
namespace {

using namespace hecate::testing;  // NOLINT: the vocabulary of these tests

// Gate probabilities of row t in double.
std::vector<double> scores(Gate gate, const Reference& logits, int64_t t) {
  std::vector<double> p;
  double sum = 0, shift = logits(t, 0);
  for (int64_t e = 0; e < logits.cols; ++e) shift = std::max(shift, logits(t, e));
  for (int64_t e = 0; e < logits.cols; ++e) {
    p.push_back(gate == Gate::sigmoid_bias ? 1 / (1 + std::exp(-logits(t, e)))
                                           : std::exp(logits(t, e) - shift));
    sum += p.back();
  }
  if (gate != Gate::sigmoid_bias)
    for (double& value : p) value /= sum;
  return p;
}

double log_sum_exp(const Reference& logits, int64_t t) {
  double sum = 0;
  for (int64_t e = 0; e < logits.cols; ++e) sum += std::exp(logits(t, e));
  return std::log(sum);
}

bool renormalized(Gate gate) {
  return gate != Gate::softmax && gate != Gate::switch_top1;
}

std::vector<double> weights_of(Gate gate, const Reference& logits, int64_t t,
                               const Buffer<int32_t>& chosen) {
  const std::vector<double> p = scores(gate, logits, t);
  std::vector<double> w;
  double sum = 0;
  for (const int32_t choice : chosen) {
    w.push_back(p[static_cast<size_t>(choice < 0 ? -1 - choice : choice)]);
    sum += w.back();
  }
  if (renormalized(gate))
    for (double& value : w) value /= sum;
  return w;
}

struct Routed {
  Routed(Gate gate_in, int64_t tokens, int64_t experts_in, uint64_t seed, double spread = 2)
      : gate(gate_in),
        top_k(gate == Gate::switch_top1 ? 1
              : gate == Gate::gshard    ? 2
                                        : std::min<int64_t>(3, experts_in)),
        logits(Matrix::normal(tokens, experts_in, seed, spread, 1)),
        bias(Matrix::normal(1, experts_in, seed + 50, 0.3)),
        probabilities(tokens, experts_in, 2),
        weights(tokens, top_k, 1),
        experts(static_cast<size_t>(tokens * top_k), -77) {}
  View<const Real> bias_view() const {
    return gate == Gate::sigmoid_bias ? bias.cflat() : View<const Real>();
  }
  View<int32_t> experts_view() { return {experts.data(), {logits.rows(), top_k}}; }
  void run(Stream& s) {
    route(s, gate, logits.cview(), bias_view(), probabilities.view(), experts_view(),
          weights.view());
  }
  Buffer<int32_t> chosen(int64_t t) const {
    return {experts.begin() + t * top_k, experts.begin() + (t + 1) * top_k};
  }
  Gate gate;
  int64_t top_k;
  Matrix logits, bias, probabilities, weights;
  Buffer<int32_t> experts;
};

class RouterTest : public ::testing::TestWithParam<Gate> {};

TEST_P(RouterTest, ChoosesAndWeighs) {
  for (const int64_t experts : {3, 8, 67}) {
    Device device(3);
    Routed r(GetParam(), 41, experts, 1);
    r.run(device.stream);
    const Reference logits(r.logits);
    Reference want_p(41, experts), want_w(41, r.top_k);
    for (int64_t t = 0; t < 41; ++t) {
      const std::vector<double> p = scores(r.gate, logits, t);
      std::vector<std::pair<double, int32_t>> order;
      for (int32_t e = 0; e < experts; ++e) {
        want_p(t, e) = p[static_cast<size_t>(e)];
        const double key =
            p[static_cast<size_t>(e)] + (r.gate == Gate::sigmoid_bias ? r.bias.at(0, e) : 0);
        order.emplace_back(-key, e);
      }
      std::sort(order.begin(), order.end());
      const std::vector<double> w = weights_of(r.gate, logits, t, r.chosen(t));
      for (int64_t k = 0; k < r.top_k; ++k) {
        EXPECT_EQ(r.chosen(t)[static_cast<size_t>(k)], order[static_cast<size_t>(k)].second)
            << "token " << t << " choice " << k;
        want_w(t, k) = w[static_cast<size_t>(k)];
      }
    }
    expect_near(r.probabilities, want_p, kElement, "probabilities");
    expect_near(r.weights, want_w, 4 * kElement, "weights");
  }
}

TEST_P(RouterTest, EqualScoresTakeTheLowerIndex) {
  Device device;
  Routed r(GetParam(), 4, 9, 1);
  r.logits = Matrix::constant(4, 9, Real(0.3));
  r.bias = Matrix::constant(1, 9, 0);
  r.run(device.stream);
  for (int64_t t = 0; t < 4; ++t)
    for (int64_t k = 0; k < r.top_k; ++k) EXPECT_EQ(r.chosen(t)[static_cast<size_t>(k)], k);
}

TEST_P(RouterTest, NanLogitsStillChooseDistinctExperts) {
  Device device;
  Routed r(GetParam(), 2, 5, 1);
  r.logits = Matrix::constant(2, 5, kNan);
  r.run(device.stream);
  for (int64_t t = 0; t < 2; ++t) {
    Buffer<int32_t> chosen = r.chosen(t);
    std::sort(chosen.begin(), chosen.end());
    EXPECT_GE(chosen.front(), 0);
    EXPECT_LT(chosen.back(), 5);
    EXPECT_EQ(std::adjacent_find(chosen.begin(), chosen.end()), chosen.end());
    EXPECT_TRUE(std::isnan(r.weights.at(t, 0)));
  }
}

TEST_P(RouterTest, GivenExpertsGetTheSameWeights) {
  Device device;
  Routed r(GetParam(), 23, 11, 4);
  r.run(device.stream);
  Matrix probabilities(23, 11, 2), weights(23, r.top_k, 1);
  route_given(device.stream, r.gate, r.logits.cview(), r.experts_view(), probabilities.view(),
              weights.view());
  EXPECT_TRUE(probabilities.same_bits(r.probabilities));
  EXPECT_TRUE(weights.same_bits(r.weights));
}

TEST_P(RouterTest, GivenUnlikelyExpertsGetFiniteWeightsAndGradients) {
  Device device;
  Routed r(GetParam(), 1, 4, 4);
  for (int64_t e = 0; e < 4; ++e) r.logits(0, e) = e == 3 ? Real(200) : Real(-200 - e);
  Buffer<int32_t> given;
  for (int64_t k = 0; k < r.top_k; ++k) given.push_back(static_cast<int32_t>(k));
  route_given(device.stream, r.gate, r.logits.cview(), {given.data(), {1, r.top_k}},
              r.probabilities.view(), r.weights.view());
  const Matrix dweights = Matrix::constant(1, r.top_k, 1);
  Matrix dlogits(1, 4);
  route_backward(device.stream, r.gate, r.logits.cview(), r.probabilities.cview(),
                 {given.data(), {1, r.top_k}}, dweights.cview(), {}, 0, dlogits.view());
  for (int64_t k = 0; k < r.top_k; ++k) EXPECT_TRUE(std::isfinite(r.weights.at(0, k)));
  for (int64_t e = 0; e < 4; ++e) EXPECT_TRUE(std::isfinite(dlogits.at(0, e)));
}

// The scalar that route_backward differentiates: weights . dweights + probabilities .
// dprobabilities + z * sum of squared log-sum-exp, with the choice held fixed.
double objective(const Routed& r, const Reference& logits, const Matrix& dweights,
                 const Matrix* dprobabilities, double z) {
  double sum = 0;
  for (int64_t t = 0; t < logits.rows; ++t) {
    const std::vector<double> w = weights_of(r.gate, logits, t, r.chosen(t));
    for (int64_t k = 0; k < r.top_k; ++k) sum += w[static_cast<size_t>(k)] * dweights.at(t, k);
    const double lse = log_sum_exp(logits, t);
    sum += z * lse * lse;
    if (dprobabilities == nullptr) continue;
    const std::vector<double> p = scores(r.gate, logits, t);
    for (int64_t e = 0; e < logits.cols; ++e)
      sum += p[static_cast<size_t>(e)] * dprobabilities->at(dprobabilities->rows() == 1 ? 0 : t, e);
  }
  return sum;
}

TEST_P(RouterTest, BackwardMatchesCentralDifferences) {
  Device device;
  Routed r(GetParam(), 9, 7, 2, 1);
  r.run(device.stream);
  r.experts[0] = -1 - r.experts[0];  // dropped after the weights were made
  const Matrix dweights = Matrix::normal(9, r.top_k, 6, 1, 2);
  const Matrix per_token = Matrix::normal(9, 7, 7), shared = Matrix::normal(1, 7, 8);
  Reference logits(r.logits);
  for (const Matrix* dp : {static_cast<const Matrix*>(nullptr), &per_token, &shared})
    for (const double z : {0.0, 0.01}) {
      const View<const Real> dp_view = dp == nullptr     ? View<const Real>()
                                       : dp->rows() == 1 ? dp->cflat()
                                                         : dp->cview();
      Matrix dlogits(9, 7, 1);
      route_backward(device.stream, r.gate, r.logits.cview(), r.probabilities.cview(),
                     r.experts_view(), dweights.cview(), dp_view, static_cast<Real>(z),
                     dlogits.view());
      expect_gradient(dlogits, logits, [&] { return objective(r, logits, dweights, dp, z); });
    }
}

TEST_P(RouterTest, ThreadCountDoesNotChangeBits) {
  expect_same_bits_for_thread_counts([&](Stream& s) {
    Routed r(GetParam(), 257, 16, 3);
    r.run(s);
    Matrix dlogits(257, 16);
    route_backward(s, r.gate, r.logits.cview(), r.probabilities.cview(), r.experts_view(),
                   Matrix::normal(257, r.top_k, 1).cview(), {}, Real(0.1), dlogits.view());
    return dlogits;
  });
}

TEST_P(RouterTest, NoTokensAndWrongShapes) {
  Device device;
  Routed none(GetParam(), 0, 5, 1);
  none.run(device.stream);
  Routed r(GetParam(), 4, 5, 1);
  Matrix wrong(4, 6), dlogits(4, 5), dweights(4, r.top_k);
  EXPECT_THROW(route(device.stream, r.gate, r.logits.cview(), r.bias_view(), wrong.view(),
                     r.experts_view(), r.weights.view()),
               InvalidArgument);
  EXPECT_THROW(route(device.stream, r.gate, r.logits.cview(), wrong.cview(), r.probabilities.view(),
                     r.experts_view(), r.weights.view()),
               InvalidArgument);
  Buffer<int32_t> too_many(24);
  Matrix many(4, 6);
  EXPECT_THROW(route(device.stream, r.gate, r.logits.cview(), r.bias_view(), r.probabilities.view(),
                     {too_many.data(), {4, 6}}, many.view()),
               InvalidArgument);
  r.run(device.stream);
  EXPECT_THROW(route_backward(device.stream, r.gate, r.logits.cview(), r.probabilities.cview(),
                              r.experts_view(), dweights.cview(), {}, 0, wrong.view()),
               InvalidArgument);
  EXPECT_THROW(route_backward(device.stream, r.gate, r.logits.cview(), r.probabilities.cview(),
                              r.experts_view(), dweights.cview(), wrong.cview(), 0, dlogits.view()),
               InvalidArgument);
  Buffer<int32_t> unknown(static_cast<size_t>(4 * r.top_k), 5);
  EXPECT_THROW(route_given(device.stream, r.gate, r.logits.cview(), {unknown.data(), {4, r.top_k}},
                           r.probabilities.view(), r.weights.view()),
               InvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Gates, RouterTest,
                         ::testing::Values(Gate::softmax, Gate::softmax_renormalized, Gate::gshard,
                                           Gate::switch_top1, Gate::sigmoid_bias),
                         [](const auto& each) {
                           switch (each.param) {
                             case Gate::softmax:
                               return "softmax";
                             case Gate::softmax_renormalized:
                               return "softmax_renormalized";
                             case Gate::gshard:
                               return "gshard";
                             case Gate::switch_top1:
                               return "switch_top1";
                             case Gate::sigmoid_bias:
                               return "sigmoid_bias";
                           }
                           return "?";
                         });

TEST(RouterStatistics, SumsProbabilitiesAndSquares) {
  const Matrix logits = Matrix::normal(333, 13, 1, 3, 1), p = Matrix::normal(333, 13, 2);
  Device device;
  Matrix sums(1, 13);
  const double squares = router_statistics(device.stream, logits.cview(), p.cview(), sums.flat());
  Reference want(1, 13);
  double want_squares = 0;
  for (int64_t t = 0; t < 333; ++t) {
    const double lse = log_sum_exp(Reference(logits), t);
    want_squares += lse * lse;
    for (int64_t e = 0; e < 13; ++e) want(0, e) += p.at(t, e);
  }
  expect_near(sums, want, 333 * kSum);
  EXPECT_NEAR(squares, want_squares, kChain * want_squares);
  for (int threads : {1, 3}) {
    Device other(threads);
    Matrix again(1, 13);
    EXPECT_EQ(router_statistics(other.stream, logits.cview(), p.cview(), again.flat()), squares);
    EXPECT_TRUE(again.same_bits(sums));
  }
}

TEST(RouterJitter, StaysInRangeAndDependsOnTheGlobalRow) {
  Device device(3);
  Matrix whole = Matrix::constant(100, 8, 2), tail = Matrix::constant(60, 8, 2);
  router_jitter(device.stream, Real(0.1), 3, 4, 0, whole.view());
  router_jitter(device.stream, Real(0.1), 3, 4, 40, tail.view());
  double low = 9, high = 0;
  for (int64_t t = 0; t < 100; ++t)
    for (int64_t e = 0; e < 8; ++e) {
      low = std::min(low, whole.at(t, e));
      high = std::max(high, whole.at(t, e));
      if (t >= 40) {
        EXPECT_EQ(tail.at(t - 40, e), whole.at(t, e));
      }
    }
  EXPECT_GE(low, 1.8 - 1e-6);
  EXPECT_LT(low, 1.82);
  EXPECT_LE(high, 2.2 + 1e-6);
  EXPECT_GT(high, 2.18);
  Matrix other = Matrix::constant(100, 8, 2);
  router_jitter(device.stream, Real(0.1), 4, 4, 0, other.view());
  EXPECT_FALSE(other.same_bits(whole));
}

TEST(CountExperts, SkipsDroppedChoices) {
  Device device;
  const Buffer<int32_t> experts = {0, 2, -1, 2, 1, -3};
  std::vector<int64_t> counts(4, -9);
  count_experts(device.stream, {experts.data(), {3, 2}}, counts);
  EXPECT_EQ(counts, (std::vector<int64_t>{1, 1, 2, 0}));
  std::vector<int64_t> few(2);
  EXPECT_THROW(count_experts(device.stream, {experts.data(), {3, 2}}, few), InvalidArgument);
}

TEST(DropOverCapacity, DropsInTokenOrderAcrossMicroBatches) {
  Device device;
  Buffer<int32_t> experts = {0, 1, 0, 1, 0, 2, 0, 1};
  Buffer<int32_t> first(experts.begin(), experts.begin() + 4),
      second(experts.begin() + 4, experts.end());
  std::vector<int64_t> taken(3, 0), taken_in_two(3, 0);
  EXPECT_EQ(drop_over_capacity(device.stream, 2, taken, {experts.data(), {4, 2}}), 3);
  EXPECT_EQ(experts, (Buffer<int32_t>{0, 1, 0, 1, -1, 2, -1, -2}));
  EXPECT_EQ(taken, (std::vector<int64_t>{2, 2, 1}));
  EXPECT_EQ(drop_over_capacity(device.stream, 2, taken_in_two, {first.data(), {2, 2}}), 0);
  EXPECT_EQ(drop_over_capacity(device.stream, 2, taken_in_two, {second.data(), {2, 2}}), 3);
  first.insert(first.end(), second.begin(), second.end());
  EXPECT_EQ(first, experts);
  EXPECT_EQ(taken_in_two, taken);
}

TEST(DropOverCapacity, LeavesDroppedChoicesAndRejectsUnknownExperts) {
  Device device;
  Buffer<int32_t> experts = {-2, 0};
  std::vector<int64_t> taken(2, 0);
  EXPECT_EQ(drop_over_capacity(device.stream, 5, taken, {experts.data(), {1, 2}}), 0);
  EXPECT_EQ(experts, (Buffer<int32_t>{-2, 0}));
  EXPECT_EQ(taken, (std::vector<int64_t>{1, 0}));
  experts = {2, 0};
  EXPECT_THROW(drop_over_capacity(device.stream, 5, taken, {experts.data(), {1, 2}}),
               InvalidArgument);
}

}  // namespace
}  // namespace hecate::kernels
