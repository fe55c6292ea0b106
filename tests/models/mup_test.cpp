#include "models/mup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "models/optimizer.h"
#include "models/parameter_table.h"
#include "runtime/base/error.h"
#include "tests/models/tiny_model.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::models {
namespace {

using hecate::testing::message_of;

// Four times as wide as its base; experts three times, the latent rank twice.
ModelConfig wide_model() {
  ModelConfig model;
  model.vocabulary = 50;
  model.layers = 4;
  model.d_model = 64;
  model.heads = 8;
  model.attention = "latent";
  model.kv_lora_rank = 32;
  model.nope_dim = 12;
  model.rope_dim = 4;
  model.v_dim = 8;
  model.moe_layers = "from:1";
  model.experts = 4;
  model.expert_hidden = 48;
  model.shared_experts = 2;
  model.tied_head = false;
  model.mup.enabled = true;
  model.mup.base = {.d_model = 16, .heads = 2, .expert_hidden = 16, .kv_lora_rank = 16};
  return model;
}

struct Expected {
  const char* name;
  double m;        // of the initial value and the rate
  double forward;  // factor
};

TEST(Mup, EveryTensorFollowsItsOwnFanIn) {
  const ParameterLayout layout(wide_model());
  const double branch = 1.4 / 2;
  for (const Expected& each :
       std::initializer_list<Expected>{{"layers.0.attention.q", 4, 1},
                                       {"layers.0.attention.kv_down", 4, 1},
                                       {"layers.0.attention.kv_up", 2, 1},
                                       {"layers.0.attention.output", 4, branch},
                                       {"layers.0.ffn.up", 4, 1},
                                       {"layers.0.ffn.down", 3, branch},
                                       {"layers.1.ffn.router", 4, 1},
                                       {"layers.1.ffn.shared.up", 4, 1},
                                       {"layers.1.ffn.shared.down", 3, branch},
                                       {"layers.3.ffn.experts.2.up", 4, 1},
                                       {"layers.3.ffn.experts.2.down", 3, branch}}) {
    SCOPED_TRACE(each.name);
    const ParameterSpec& spec = layout.spec(layout.find(each.name));
    EXPECT_DOUBLE_EQ(spec.init_std, 0.1 / std::sqrt(each.m));
    EXPECT_DOUBLE_EQ(spec.rate, 1 / each.m);
    EXPECT_DOUBLE_EQ(spec.rate * spec.decay, 1);
    EXPECT_DOUBLE_EQ(spec.forward, each.forward);
  }
  const ParameterSpec& embedding = layout.spec(layout.find("embedding.tokens"));
  EXPECT_EQ(embedding.init_std, 0.1);
  EXPECT_EQ(embedding.rate, 1);
  EXPECT_EQ(embedding.forward, 12);
  const ParameterSpec& head = layout.spec(layout.find("head"));
  EXPECT_EQ(head.init_std, 0);
  EXPECT_EQ(head.rate, 1);
  EXPECT_EQ(head.forward, 0.25);
  const ParameterSpec& norm = layout.spec(layout.find("layers.2.attention.kv_norm.weight"));
  EXPECT_EQ(norm.init_value, 1);
  EXPECT_EQ(norm.init_std, 0);
  EXPECT_EQ(norm.rate, 1);
}

TEST(Mup, InitialValuesHaveTheRulesSpread) {
  const ParameterLayout layout(wide_model());
  const ParameterSpec& spec = layout.spec(layout.find("layers.0.attention.kv_up"));
  std::vector<Real> values(static_cast<size_t>(spec.size()));
  initialize_piece(spec, 3, 0, values);
  const double squares = std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
  const auto count = static_cast<double>(values.size());
  EXPECT_NEAR(std::sqrt(squares / count), 0.1 / std::sqrt(2.0), 4 * 0.07 / std::sqrt(2 * count));
}

TEST(Mup, WithoutItNothingIsMultiplied) {
  ModelConfig model = wide_model();
  model.mup.enabled = false;
  const ParameterLayout layout(model);
  for (const ParameterSpec& spec : layout.specs()) {
    EXPECT_EQ(spec.rate, 1);
    EXPECT_EQ(spec.decay, 1);
    EXPECT_EQ(spec.forward, 1);
    EXPECT_NE(spec.init_std, model.mup.init_std);
  }
  EXPECT_EQ(attention_scale(model, 16), Real{0.25});
  EXPECT_EQ(forward_multipliers(model).residual, 1);
}

TEST(Mup, OptimizerGroupsComeOnTop) {
  const ParameterLayout layout(wide_model());
  OptimizerConfig config;
  config.groups.push_back({.pattern = "layers.1.ffn.router", .rate_factor = 2});
  config.groups.push_back({.pattern = "layers.1.ffn.shared.up", .weight_decay = 0.3});
  const auto rules = update_rules(layout, config);
  const auto rule = [&](const char* name) { return rules[static_cast<size_t>(layout.find(name))]; };
  EXPECT_DOUBLE_EQ(rule("layers.0.ffn.up").rate_factor, 0.25);
  EXPECT_DOUBLE_EQ(rule("layers.0.ffn.up").weight_decay, 0.4);
  EXPECT_DOUBLE_EQ(rule("layers.1.ffn.router").rate_factor, 0.5);
  EXPECT_DOUBLE_EQ(rule("layers.1.ffn.router").weight_decay, 0.4);
  EXPECT_DOUBLE_EQ(rule("layers.1.ffn.shared.up").weight_decay, 1.2);
  EXPECT_DOUBLE_EQ(rule("final_norm.weight").weight_decay, 0);
}

TEST(Mup, AnImpossibleBaseIsNamed) {
  ModelConfig model = preset("tiny");
  model.vocabulary = 50;
  model.mup.enabled = true;
  model.mup.base.d_model = 10;
  model.mup.base.heads = 3;
  EXPECT_THAT(message_of<InvalidArgument>([&] { ParameterLayout layout(model); }),
              ::testing::AllOf(::testing::HasSubstr("model.mup.base"),
                               ::testing::HasSubstr("model.d_model = 10")));
}

TEST(Mup, TheTableListsEveryParameter) {
  const ModelConfig model = wide_model();
  const std::string table = parameter_table(model, {});
  const ParameterLayout layout(model);
  for (const ParameterSpec& spec : layout.specs())
    EXPECT_NE(table.find("\n" + spec.name + " "), std::string::npos) << spec.name;
  EXPECT_THAT(table, ::testing::ContainsRegex(
                         "layers.0.attention.kv_up +160x32 +hidden +N\\(0,0.0707107\\) +0.5 +1 "
                         "+0.1\n"));
  EXPECT_THAT(table, ::testing::ContainsRegex("\nhead +50x64 +head +0 +1 +0.25 +0.1\n"));
  EXPECT_THAT(table, ::testing::ContainsRegex("\nfinal_norm.weight +64 +norm +1 +1 +1 +0\n"));
  EXPECT_THAT(table, ::testing::HasSubstr("attention scores: times 0.0625\n"));
}

// A model with muP computes what one without it does whose weights took up the factors; its
// gradients are that one's times the factors.
TEST(Mup, IsTheSameAsFactorsInTheWeights) {
  ModelConfig config;
  config.vocabulary = 37;
  config.sequence = 9;
  config.layers = 2;
  config.d_model = 16;
  config.heads = 4;
  config.experts = 4;
  config.expert_hidden = 12;
  config.shared_experts = 1;
  config.tied_head = false;
  config.mup.embedding_multiplier = 3;
  config.mup.base.d_model = 8;
  config.mup.enabled = true;
  const BatchShape batch{.sequences = 3, .sequence = 9};
  TinyModel with(config, {}, batch);
  config.mup.enabled = false;
  TinyModel without(config, {}, batch);

  std::vector<Real> factors(without.storage.values().size(), Real{1});
  for (size_t i = 0; i < with.layout.specs().size(); ++i) {
    const ParameterSpec& spec = with.layout.specs()[i];
    const std::span<Real> of_tensor = with.storage.piece(factors, static_cast<ParameterId>(i));
    std::fill(of_tensor.begin(), of_tensor.end(), static_cast<Real>(spec.forward));
    if (spec.name.ends_with(".qkv"))  // 1 / 4 and not 1 / sqrt(4), by the rows of q
      std::fill_n(of_tensor.begin(), 16 * 16, Real{0.5});
  }
  for (size_t i = 0; i < factors.size(); ++i)
    without.storage.values()[i] = with.storage.values()[i] * factors[i];
  const double loss = without.run();
  EXPECT_NEAR(with.run(), loss, 1e-6 * loss);
  for (size_t i = 0; i < with.layout.specs().size(); ++i) {
    const auto id = static_cast<ParameterId>(i);
    const auto a = with.storage.piece(with.storage.gradients(), id);
    const auto b = without.storage.piece(without.storage.gradients(), id);
    const auto f = with.storage.piece(factors, id);
    double difference = 0, norm = 0;
    for (size_t k = 0; k < a.size(); ++k) {
      const double expected = static_cast<double>(b[k]) * static_cast<double>(f[k]);
      difference += std::pow(static_cast<double>(a[k]) - expected, 2);
      norm += expected * expected;
    }
    EXPECT_GT(norm, 0) << with.layout.spec(id).name;
    EXPECT_LT(std::sqrt(difference / norm), 1e-4) << with.layout.spec(id).name;
  }
}

}  // namespace
}  // namespace hecate::models
