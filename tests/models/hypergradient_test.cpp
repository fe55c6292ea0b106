#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "models/optimizer.h"
#include "tests/models/tiny_model.h"

namespace hecate::models {
namespace {

/// A tiny model whose optimizer takes steps on one batch.
struct Trained {
  explicit Trained(const OptimizerConfig& config)
      : m(variants().front().model, {}, {.sequences = 3, .sequence = 9}),
        optimizer(config, m.model, m.router, m.storage, m.state),
        update(optimizer.graph(), m.lanes, m.ledger) {
    optimizer.bind(update);
  }
  void backward(int64_t step) {
    m.state.scalars.step = step - 1;
    m.run();
  }
  void step(int64_t number, double rate) {
    optimizer.prepare(rate, number);
    update.run();
  }

  TinyModel m;
  OptimizerGraph optimizer;
  graph::Executor update;
};

OptimizerConfig adaptive() {
  OptimizerConfig config;
  config.clip = 0;
  config.groups.push_back({.pattern = "layers.*", .rate_factor = 0.5});
  config.hypergradient = {.enabled = true, .strength = 0.4, .bound = 1.3};
  return config;
}

// By its definition, from gradients and moments.
double expected_cosine(Trained& t, int64_t last_step, const OptimizerConfig& config) {
  const double c1 = 1 - std::pow(config.beta1, last_step);
  const double c2 = 1 - std::pow(config.beta2, last_step);
  double product = 0, gradients = 0, updates = 0;
  for (const OwnedPiece& piece : t.m.storage.pieces()) {
    const ParameterSpec& spec = t.m.layout.spec(piece.id);
    if (!spec.trained()) continue;
    const double factor = spec.name.starts_with("layers.") ? 0.5 : 1;
    for (int64_t i = 0; i < piece.size; ++i) {
      const double g = piece.gradient[i];
      const double u = factor * (piece.first_moment[i] / c1) /
                       (std::sqrt(piece.second_moment[i] / c2) + config.eps);
      product += g * u;
      gradients += g * g;
      updates += u * u;
    }
  }
  return product / std::sqrt(gradients * updates);
}

TEST(Hypergradient, FollowsTheGradientAndTheUpdateBefore) {
  const OptimizerConfig config = adaptive();
  Trained t(config);
  double factor = 1;
  bool fell = false, rose = false;
  for (int64_t step = 1; step <= 8; ++step) {
    t.backward(step);
    const double cosine = step > 1 ? expected_cosine(t, step - 1, config) : 0;
    factor = std::min(1.3, std::max(1 / 1.3, factor * (1 + 0.4 * cosine)));
    t.step(step, step < 5 ? 1e-3 : 0.3);  // at first downhill, then too fast: gradients turn
    EXPECT_NEAR(t.optimizer.report().rate_factor, factor, 1e-9) << step;
    EXPECT_EQ(t.optimizer.rate_factor(), t.optimizer.report().rate_factor);
    fell = fell || cosine < 0;
    rose = rose || cosine > 0;
  }
  EXPECT_TRUE(fell && rose);
}

TEST(Hypergradient, MultipliesTheScheduledRate) {
  OptimizerConfig config = adaptive();
  Trained with(config);
  config.hypergradient.enabled = false;
  Trained without(config);
  for (int64_t step = 1; step <= 3; ++step) {
    with.backward(step);
    without.backward(step);
    with.step(step, 1e-2);
    without.step(step, 1e-2 * with.optimizer.rate_factor());
    EXPECT_EQ(without.optimizer.report().rate_factor, 1);
  }
  EXPECT_NE(with.optimizer.rate_factor(), 1);
  EXPECT_TRUE(std::ranges::equal(with.m.storage.values(), without.m.storage.values()));
}

TEST(Hypergradient, AStepThatIsNotTakenDoesNotCount) {
  Trained t(adaptive());
  for (int64_t step = 1; step <= 2; ++step) {
    t.backward(step);
    t.step(step, 1e-2);
  }
  const double before = t.optimizer.rate_factor();
  t.backward(3);
  t.optimizer.prepare(1e-2, 3, false);
  t.update.run();
  EXPECT_EQ(t.optimizer.rate_factor(), before);
}

}  // namespace
}  // namespace hecate::models
