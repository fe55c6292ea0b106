#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "runtime/base/rng.h"
#include "tests/models/tiny_model.h"

namespace hecate::models {
namespace {

// f64 (the oracle build) proves formulas; f32 proves that nothing is grossly wrong in the build
// that people use.
constexpr bool kOracle = sizeof(Real) == 8;
constexpr double kStep = kOracle ? 1e-5 : 2e-3;
constexpr double kTolerance = kOracle ? 1e-7 : 3e-2;

class ModelGradient : public testing::TestWithParam<Variant> {};

// Along a random direction inside one tensor: derivative by central differences against the inner
// product with the gradient. Routing is pinned by the choices staying away from ties.
double directional(TinyModel& m, ParameterId id, const std::vector<double>& direction) {
  const std::span<Real> values = m.storage.piece(m.storage.values(), id);
  const std::vector<Real> kept(values.begin(), values.end());
  const auto at = [&](double step) {
    for (size_t i = 0; i < kept.size(); ++i)
      values[i] = static_cast<Real>(static_cast<double>(kept[i]) + step * direction[i]);
    return m.run();
  };
  const double slope = (at(kStep) - at(-kStep)) / (2 * kStep);
  std::ranges::copy(kept, values.begin());
  return slope;
}

TEST_P(ModelGradient, MatchesFiniteDifferencesForEveryParameter) {
  const Variant& variant = GetParam();
  TinyModel m(variant.model, variant.router, {.sequences = 3, .sequence = 9}, GraphMode::train,
              variant.documents);
  m.state.scalars.training = true;
  std::ranges::fill(m.storage.gradients(), std::nan(""));
  m.run();
  const std::vector<Real> gradients(m.storage.gradients().begin(), m.storage.gradients().end());
  const CounterRng rng(17, 1);
  double scale = 0;
  for (size_t i = 0; i < m.layout.specs().size(); ++i)
    if (m.layout.specs()[i].trained())
      for (int64_t k = 0; k < m.layout.specs()[i].size(); ++k) {
        const double g =
            gradients[static_cast<size_t>(m.layout.offset(static_cast<int32_t>(i)) + k)];
        scale += g * g;
      }
  ASSERT_GT(scale, 0);
  for (size_t i = 0; i < m.layout.specs().size(); ++i) {
    const ParameterSpec& spec = m.layout.specs()[i];
    if (!spec.trained()) continue;
    const auto id = static_cast<ParameterId>(i);
    std::vector<double> direction(static_cast<size_t>(spec.size()));
    double norm = 0, analytic = 0, length = 0;
    for (size_t k = 0; k < direction.size(); ++k) {
      direction[k] = rng.normal(i * 1000003 + k);
      norm += direction[k] * direction[k];
    }
    for (size_t k = 0; k < direction.size(); ++k) {
      direction[k] /= std::sqrt(norm);
      const double g = gradients[static_cast<size_t>(m.layout.offset(id)) + k];
      analytic += direction[k] * g;
      length += g * g;
    }
    const double numeric = directional(m, id, direction);
    EXPECT_NEAR(analytic, numeric, kTolerance * std::sqrt(scale)) << spec.name;
    if (kOracle && length > 0) {
      EXPECT_NEAR(analytic, numeric, 1e-5 * std::sqrt(length) + 1e-9) << spec.name;
    }
  }
}

TEST_P(ModelGradient, IsTheSameForAnyThreadCount) {
  const Variant& variant = GetParam();
  std::vector<Real> first;
  for (int threads : {1, 3}) {
    TinyModel m(variant.model, variant.router, {.sequences = 3, .sequence = 9}, GraphMode::train,
                variant.documents, threads);
    m.run();
    const std::vector<Real> gradients(m.storage.gradients().begin(), m.storage.gradients().end());
    if (first.empty())
      first = gradients;
    else
      EXPECT_EQ(first, gradients);
  }
}

class MicroBatches : public testing::TestWithParam<Variant> {};

TEST_P(MicroBatches, TwoAddUpToOneBatch) {
  const Variant& variant = GetParam();
  TinyModel whole(variant.model, variant.router, {.sequences = 4, .sequence = 9}, GraphMode::train,
                  variant.documents);
  whole.run();
  TinyModel half(variant.model, variant.router, {.sequences = 2, .sequence = 9}, GraphMode::train,
                 variant.documents);
  half.state.scalars.loss_scale = whole.state.scalars.loss_scale;
  half.state.scalars.global_tokens = half.state.scalars.local_tokens = 36;
  half.state.statistics.reset();
  for (int64_t part = 0; part < 2; ++part) {
    std::vector<int32_t> documents(whole.document_begin.begin() + part * 18,
                                   whole.document_begin.begin() + part * 18 + 18);
    for (int32_t& begin : documents) begin -= static_cast<int32_t>(part * 18);
    half.executor.bind(half.graph.inputs().tokens, whole.tokens.data() + part * 18);
    half.executor.bind(half.graph.inputs().targets, whole.targets.data() + part * 18);
    if (variant.documents) half.executor.bind(half.graph.inputs().document_begin, documents.data());
    half.state.scalars.first_token = half.state.scalars.local_token = part * 18;
    half.state.scalars.accumulate = part > 0;
    half.executor.run(part == 0, part == 1);
  }
  EXPECT_NEAR(half.total_loss(), whole.total_loss(), 1e-5 * std::abs(whole.total_loss()));
  double difference = 0, norm = 0;
  for (size_t i = 0; i < whole.storage.gradients().size(); ++i) {
    const double a = whole.storage.gradients()[i], b = half.storage.gradients()[i];
    difference += (a - b) * (a - b);
    norm += a * a;
  }
  EXPECT_LT(std::sqrt(difference), 1e-5 * std::sqrt(norm));
}

// A balance loss over the batch needs it in one piece.
std::vector<Variant> divisible_variants() {
  std::vector<Variant> found = variants();
  std::erase_if(found, [](const Variant& v) { return v.router.balance_scope == "batch"; });
  return found;
}

INSTANTIATE_TEST_SUITE_P(Variants, MicroBatches, testing::ValuesIn(divisible_variants()),
                         [](const auto& test) { return test.param.name; });
INSTANTIATE_TEST_SUITE_P(Variants, ModelGradient, testing::ValuesIn(variants()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hecate::models
