#include "tests/models/fixture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace hecate::models {
namespace {

constexpr double kLogits = 1e-5;     // absolute
constexpr double kGradients = 1e-4;  // of each tensor's norm
constexpr double kCurve = 1e-4;      // relative

class FixtureTest : public testing::TestWithParam<const char*> {
 protected:
  FixtureTest() : fixture_(GetParam()) {}
  Fixture fixture_;
};

double norm(const std::vector<double>& x) {
  return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
}

TEST_P(FixtureTest, LogitsMatchPyTorch) {
  const auto m = fixture_.build(GraphMode::logits);
  m->executor.run();
  const std::vector<double> expected = fixture_.values("logits");
  ASSERT_EQ(m->logits.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(m->logits[i], expected[i], kLogits) << "element " << i;
}

TEST_P(FixtureTest, LossesAndLoadMatchPyTorch) {
  const auto m = fixture_.build(GraphMode::train);
  const double loss = m->run();
  EXPECT_NEAR(loss, fixture_.values("loss")[0], 1e-5);
  EXPECT_NEAR(m->state.statistics.loss_sum * m->state.scalars.loss_scale,
              fixture_.values("cross_entropy")[0], 1e-5);
  const std::vector<double> balance = fixture_.values("balance_loss");
  const std::vector<double> z = fixture_.values("z_loss");
  const std::vector<int32_t> counts = fixture_.integers("counts");
  const std::vector<int32_t> dropped = fixture_.integers("dropped");
  const auto experts = static_cast<size_t>(fixture_.model.experts);
  for (size_t layer = 0; layer < balance.size(); ++layer) {
    const MoeStatistics& statistics = m->state.statistics.layers[layer];
    EXPECT_NEAR(statistics.balance_loss, balance[layer], 1e-6) << layer;
    EXPECT_NEAR(statistics.z_loss, z[layer], 1e-6) << layer;
    EXPECT_EQ(statistics.dropped, dropped[layer]) << layer;
    for (size_t e = 0; e < statistics.counts.size(); ++e)
      EXPECT_EQ(statistics.counts[e], counts[layer * experts + e]) << layer << " " << e;
  }
}

TEST_P(FixtureTest, GradientsMatchPyTorch) {
  const auto m = fixture_.build(GraphMode::train);
  m->run();
  int compared = 0;
  for (size_t i = 0; i < m->layout.specs().size(); ++i) {
    const auto id = static_cast<ParameterId>(i);
    const ParameterSpec& spec = m->layout.spec(id);
    if (!spec.trained()) continue;
    const std::vector<double> expected = fixture_.values("grad." + spec.name);
    const std::span<Real> piece = m->storage.piece(m->storage.gradients(), id);
    std::vector<double> difference(expected.size());
    for (size_t k = 0; k < expected.size(); ++k)
      difference[k] = static_cast<double>(piece[k]) - expected[k];
    EXPECT_LE(norm(difference), kGradients * norm(expected) + 1e-9) << spec.name;
    ++compared;
  }
  EXPECT_GT(compared, 8);
}

TEST_P(FixtureTest, TwentyAdamWStepsFollowPyTorch) {
  const auto m = fixture_.build(GraphMode::train);
  OptimizerGraph optimizer(fixture_.optimizer, m->model, m->router, m->storage, m->state);
  graph::Executor update(optimizer.graph(), m->lanes, m->ledger);
  optimizer.bind(update);
  const std::vector<double> curve = fixture_.values("curve");
  const std::vector<double> norms = fixture_.values("curve.grad_norm");
  ASSERT_EQ(curve.size(), 20u);
  for (size_t step = 0; step < curve.size(); ++step) {
    const auto index = static_cast<int64_t>(step);
    fixture_.bind_batch(*m, index % fixture_.batches, GraphMode::train);
    const double loss = m->run();
    EXPECT_NEAR(loss, curve[step], kCurve * std::abs(curve[step])) << "step " << step;
    optimizer.prepare(fixture_.rate, index + 1);
    update.run();
    EXPECT_NEAR(optimizer.report().gradient_norm, norms[step], 1e-3 * norms[step]) << step;
  }
  EXPECT_LT(curve.back(), curve.front());
}

INSTANTIATE_TEST_SUITE_P(PyTorch, FixtureTest,
                         testing::Values("gpt", "mixtral", "olmoe", "qwen3", "latent", "switch",
                                         "sigmoid_bias", "bert", "documents", "batch_balance"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace hecate::models
