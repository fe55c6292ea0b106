#include "models/hub_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "runtime/base/error.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::models {
namespace {

using hecate::testing::message_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

ModelConfig model_of(const std::string& qk_norm, bool tied) {
  ModelConfig model = preset("tiny");
  model.qk_norm = qk_norm;
  model.kv_heads = 2;
  model.tied_head = tied;
  return model;
}

TEST(HubLayout, EveryElementIsInExactlyOneTensor) {
  for (const char* qk_norm : {"none", "full", "head"})
    for (const bool tied : {true, false}) {
      const ModelConfig model = model_of(qk_norm, tied);
      const ParameterLayout layout(model);
      std::vector<int64_t> next(layout.specs().size(), 0);
      std::set<std::string> names;
      for (const HubTensor& tensor : hub_tensors(hub_architecture(model, {}), model, layout)) {
        EXPECT_TRUE(names.insert(tensor.name).second) << tensor.name;
        int64_t& done = next[static_cast<size_t>(tensor.parameter)];
        EXPECT_EQ(tensor.first_row, done) << tensor.name;
        done += tensor.shape[0];
        const Shape& whole = layout.spec(tensor.parameter).shape;
        EXPECT_EQ(tensor.shape.rank(), whole.rank());
        EXPECT_EQ(tensor.shape.size() / tensor.shape[0], whole.size() / whole[0]) << tensor.name;
      }
      for (size_t id = 0; id < next.size(); ++id)
        EXPECT_EQ(next[id], layout.specs()[id].shape[0]) << layout.specs()[id].name;
    }
}

TEST(HubLayout, TheArchitectureFollowsFromTheNormOfQueriesAndKeys) {
  EXPECT_EQ(hub_architecture(model_of("none", true), {}), HubArchitecture::mixtral);
  EXPECT_EQ(hub_architecture(model_of("full", true), {}), HubArchitecture::olmoe);
  EXPECT_EQ(hub_architecture(model_of("head", true), {}), HubArchitecture::qwen3_moe);
  EXPECT_EQ(hub_architecture(preset("mixtral-8x7b"), {}), HubArchitecture::mixtral);
  EXPECT_EQ(hub_architecture(preset("olmoe-1b-7b"), {}), HubArchitecture::olmoe);
  EXPECT_EQ(hub_architecture(preset("qwen3-30b-a3b"), {}), HubArchitecture::qwen3_moe);
}

// What the gates have in common while text is generated.
TEST(HubLayout, GatesThatComputeTheSameAreTaken) {
  ModelConfig model = model_of("none", true);
  model.gate = "gshard";
  EXPECT_EQ(hub_architecture(model, {}), HubArchitecture::mixtral);
  EXPECT_TRUE(renormalizes(model));
  model = model_of("head", true);
  model.gate = "switch";
  model.top_k = 1;
  EXPECT_EQ(hub_architecture(model, {}), HubArchitecture::qwen3_moe);
  EXPECT_FALSE(renormalizes(model));
}

TEST(HubLayout, WhatNoArchitectureHasIsRefusedByKey) {
  const auto refusal = [](const auto& change) {
    ModelConfig model = model_of("none", true);
    RouterConfig router;
    change(model, router);
    return message_of<InvalidArgument>([&] { hub_architecture(model, router); });
  };
  using M = ModelConfig&;
  using R = RouterConfig&;
  EXPECT_THAT(refusal([](M m, R) { m.objective = "masked"; }),
              AllOf(HasSubstr("model.objective = masked"), HasSubstr("have causal")));
  EXPECT_THAT(refusal([](M m, R) { m.norm = "layer"; }), HasSubstr("model.norm = layer"));
  EXPECT_THAT(refusal([](M m, R) { m.positions = "learned"; }), HasSubstr("model.positions"));
  EXPECT_THAT(refusal([](M m, R) { m.attention = "latent"; }), HasSubstr("model.attention"));
  EXPECT_THAT(refusal([](M m, R) { m.activation = "gelu"; }), HasSubstr("model.activation"));
  EXPECT_THAT(refusal([](M m, R) { m.shared_experts = 1; }), HasSubstr("model.shared_experts"));
  EXPECT_THAT(refusal([](M m, R) { m.moe_layers = "every:2"; }), HasSubstr("model.moe_layers"));
  EXPECT_THAT(refusal([](M m, R) { m.gate = "sigmoid_bias"; }), HasSubstr("model.gate"));
  EXPECT_THAT(refusal([](M m, R) { m.gate = "softmax"; }),
              AllOf(HasSubstr("model.gate = softmax"), HasSubstr("Mixtral")));
  EXPECT_THAT(refusal([](M, R r) { r.routed_scale = 2; }), HasSubstr("router.routed_scale = 2"));
  EXPECT_THAT(refusal([](M, R r) { r.source = "even"; }), HasSubstr("router.source = even"));
  EXPECT_THAT(refusal([](M m, R) {
                m.qk_norm = "full";
                m.head_dim = 6;
              }),
              AllOf(HasSubstr("model.head_dim = 6"), HasSubstr("OLMoE")));
}

}  // namespace
}  // namespace hecate::models
