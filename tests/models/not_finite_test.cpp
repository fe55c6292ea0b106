#include <gtest/gtest.h>

#include <limits>

#include "models/optimizer.h"
#include "tests/models/tiny_model.h"

/// Where NaNs and infinities are said to come from.
namespace hecate::models {
namespace {

const Real kNan = std::numeric_limits<Real>::quiet_NaN();
constexpr BatchShape kBatch{.sequences = 3, .sequence = 9};

class NotFiniteTest : public testing::TestWithParam<Variant> {};

// Whatever an operation leaves unwritten would show here.
TEST_P(NotFiniteTest, NothingIsFoundInAHealthyModel) {
  const Variant& variant = GetParam();
  TinyModel m(variant.model, variant.router, kBatch, GraphMode::train, variant.documents);
  m.state.scalars.training = true;
  m.executor.check_finite(true);
  for (int i = 0; i < 3; ++i) m.run();
  const graph::NotFinite found = m.executor.not_finite();
  EXPECT_EQ(found.op, -1) << m.graph.graph().ops()[static_cast<size_t>(found.op)].name;
}

INSTANTIATE_TEST_SUITE_P(Variants, NotFiniteTest, testing::ValuesIn(variants()),
                         [](const auto& each) { return each.param.name; });

void poison(TinyModel& m, std::span<Real> array, const char* name) {
  m.storage.piece(array, m.layout.find(name)).front() = kNan;
}

std::string found_with(const char* parameter) {
  TinyModel m(variants().front().model, {}, kBatch);
  poison(m, m.storage.values(), parameter);
  m.executor.check_finite(true);
  m.run();
  const int32_t op = m.executor.not_finite().op;
  return op < 0 ? "" : m.graph.graph().ops()[static_cast<size_t>(op)].name;
}

TEST(NotFinite, TheFirstOperationThatWritesOneIsFound) {
  EXPECT_EQ(found_with("layers.0.attention.qkv"), "layers.0.attention.qkv");
  EXPECT_EQ(found_with("layers.1.attention.output"), "layers.1.attention.output");
  EXPECT_EQ(found_with("layers.1.ffn.router"), "layers.1.ffn.router");
  EXPECT_EQ(found_with("layers.0.ffn.experts.2.down"), "layers.0.ffn.experts.down");
  EXPECT_EQ(found_with("final_norm.weight"), "final_norm");
}

TEST(NotFinite, ACheckForgetsTheOneBeforeAndCostsNothingWhenOff) {
  TinyModel m(variants().front().model, {}, kBatch);
  m.executor.check_finite(true);
  poison(m, m.storage.values(), "layers.1.attention.qkv");
  m.run();
  EXPECT_GE(m.executor.not_finite().op, 0);
  m.executor.check_finite(false);
  EXPECT_GE(m.executor.not_finite().op, 0);  // still to be read
  m.storage.piece(m.storage.values(), m.layout.find("layers.1.attention.qkv")).front() = 0;
  m.executor.check_finite(true);
  m.run();
  EXPECT_EQ(m.executor.not_finite().op, -1);
}

/// The parameter that an update names when these have bad gradients.
std::string named(const std::vector<const char*>& bad) {
  TinyModel m(variants().front().model, {}, kBatch);
  m.run();
  for (const char* name : bad) poison(m, m.storage.gradients(), name);
  const OptimizerConfig config;
  OptimizerGraph update(config, m.model, m.router, m.storage, m.state);
  graph::Executor executor(update.graph(), m.lanes, m.ledger);
  update.bind(executor);
  update.prepare(1e-3, 1);
  const std::vector<Real> before(m.storage.values().begin(), m.storage.values().end());
  executor.run();
  EXPECT_TRUE(std::ranges::equal(before, m.storage.values())) << "nothing may move";
  const ParameterId id = update.report().bad;
  return id < 0 ? "" : m.layout.spec(id).name;
}

// Backward spreads a NaN towards the embedding: the one nearest to the loss is where it began.
TEST(NotFinite, TheBadGradientNearestToTheLossIsNamed) {
  EXPECT_EQ(named({"embedding.tokens", "layers.0.attention.qkv", "layers.1.attention.qkv"}),
            "layers.1.attention.qkv");
  EXPECT_EQ(named({"layers.1.attention.qkv", "layers.1.ffn.experts.3.up", "layers.1.ffn.router"}),
            "layers.1.ffn.experts.3.up");
  EXPECT_EQ(named({"layers.0.ffn.experts.3.up", "layers.1.attention.norm.weight"}),
            "layers.1.attention.norm.weight");
  EXPECT_EQ(named({"final_norm.weight", "layers.1.ffn.router"}), "final_norm.weight");
  EXPECT_EQ(named({"embedding.positions", "embedding.tokens"}), "embedding.positions");
}

}  // namespace
}  // namespace hecate::models
