#include "launcher/convert/hub_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launcher {
namespace {

using hecate::testing::message_of;
using models::HubArchitecture;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

const std::vector<std::string> kFixtures = {"hf-mixtral-tiny", "hf-olmoe-tiny", "hf-qwen3-tiny"};

json fixture(const std::string& name) {
  return json::parse(
      io::read_file(HECATE_SOURCE_DIR "/tests/reference/fixtures/" + name + "/config.json"));
}

HubConfig parse(const json& root) {
  return parse_hub_config(root.dump(), "config.json");
}

/// The message for Mixtral's (or another) config.json with one field changed.
std::string refusal(const char* field, const json& value,
                    const std::string& name = "hf-mixtral-tiny") {
  json root = fixture(name);
  root[field] = value;
  return message_of<InvalidArgument>([&] { parse(root); });
}

TEST(HubConfig, ReadsMixtral) {
  const HubConfig config = parse(fixture("hf-mixtral-tiny"));
  EXPECT_EQ(config.architecture, HubArchitecture::mixtral);
  const models::ModelConfig& model = config.model;
  EXPECT_EQ(model.vocabulary, 53);
  EXPECT_EQ(model.sequence, 12);
  EXPECT_EQ(model.layers, 2);
  EXPECT_EQ(model.d_model, 16);
  EXPECT_EQ(model.heads, 4);
  EXPECT_EQ(model.key_heads(), 2);
  EXPECT_EQ(model.head_size(), 4);
  EXPECT_EQ(model.norm_eps, 1e-5);
  EXPECT_EQ(model.rope_theta, 1e6);
  EXPECT_EQ(model.experts, 4);
  EXPECT_EQ(model.top_k, 2);
  EXPECT_EQ(model.expert_hidden, 12);
  EXPECT_EQ(model.gate, "softmax_renormalized");
  EXPECT_EQ(model.qk_norm, "none");
  EXPECT_FALSE(model.tied_head);
  EXPECT_EQ(config.document_end, 2);
}

TEST(HubConfig, ReadsOlmoeAndQwen3) {
  const HubConfig olmoe = parse(fixture("hf-olmoe-tiny"));
  EXPECT_EQ(olmoe.architecture, HubArchitecture::olmoe);
  EXPECT_EQ(olmoe.model.qk_norm, "full");
  EXPECT_EQ(olmoe.model.gate, "softmax");
  EXPECT_EQ(olmoe.model.experts, 6);
  const HubConfig qwen3 = parse(fixture("hf-qwen3-tiny"));
  EXPECT_EQ(qwen3.architecture, HubArchitecture::qwen3_moe);
  EXPECT_EQ(qwen3.model.qk_norm, "head");
  EXPECT_EQ(qwen3.model.head_size(), 6);
  EXPECT_EQ(qwen3.model.gate, "softmax_renormalized");
  EXPECT_EQ(qwen3.model.expert_hidden, 10);
}

TEST(HubConfig, WhatIsWrittenReadsBackEqual) {
  for (const std::string& name : kFixtures) {
    HubConfig config = parse(fixture(name));
    config.model.tied_head = true;
    config.router.balance_loss = 0.03;
    const HubConfig again = parse_hub_config(hub_config_text(config, DType::bf16), "again");
    EXPECT_EQ(again.architecture, config.architecture);
    EXPECT_EQ(again.document_end, config.document_end);
    EXPECT_EQ(again.router.balance_loss, 0.03);
    EXPECT_EQ(hub_config_text(again, DType::f32), hub_config_text(config, DType::f32)) << name;
    EXPECT_EQ(again.model.head_size(), config.model.head_size());
    EXPECT_TRUE(again.model.tied_head);
  }
}

TEST(HubConfig, KeepsThePublishedFieldsOfTheFixtures) {
  for (const std::string& name : kFixtures) {
    const json original = fixture(name);
    const json written = json::parse(hub_config_text(parse(original), DType::f32));
    for (const auto& [field, value] : original.items()) {
      if (field == "bos_token_id") continue;  // here a text begins behind a document end
      EXPECT_TRUE(written.contains(field)) << name << ": " << field;
      EXPECT_EQ(written.value(field, json()), value) << name << ": " << field;
    }
  }
}

// As transformers 5 writes it.
TEST(HubConfig, ReadsRopeParametersAndTheOtherExpertCount) {
  json root = fixture("hf-qwen3-tiny");
  root.erase("rope_theta");
  root["rope_parameters"] = {{"rope_theta", 5e5}, {"rope_type", "default"}};
  root["num_local_experts"] = root["num_experts"];
  root.erase("num_experts");
  root["dtype"] = "bfloat16";
  root["use_sliding_window"] = false;
  root["sliding_window"] = 4;
  const HubConfig config = parse(root);
  EXPECT_EQ(config.model.rope_theta, 5e5);
  EXPECT_EQ(config.model.experts, 8);
}

TEST(HubConfig, AWindowThatHidesNothingIsTaken) {
  json root = fixture("hf-mixtral-tiny");
  root["sliding_window"] = 12;
  EXPECT_EQ(parse(root).model.sequence, 12);
  EXPECT_THAT(refusal("sliding_window", 11), HasSubstr("config.json: sliding_window is 11"));
}

TEST(HubConfig, WhatModelsHereCannotDoIsRefusedByName) {
  EXPECT_THAT(refusal("hidden_act", "gelu"),
              AllOf(HasSubstr("hidden_act is \"gelu\""), HasSubstr("expected \"silu\"")));
  EXPECT_THAT(refusal("attention_dropout", 0.1), HasSubstr("attention_dropout is 0.1"));
  EXPECT_THAT(refusal("router_jitter_noise", 0.01), HasSubstr("router_jitter_noise is 0.01"));
  EXPECT_THAT(refusal("rope_scaling", {{"rope_type", "yarn"}, {"factor", 4}}),
              HasSubstr("rope_scaling: rope_type is \"yarn\""));
  EXPECT_THAT(refusal("rope_parameters", {{"rope_type", "default"}, {"factor", 4}}),
              HasSubstr("rope_parameters: unknown field factor"));
  EXPECT_THAT(refusal("quantization_config", {{"bits", 4}}), HasSubstr("quantization_config is"));
  EXPECT_THAT(refusal("clip_qkv", 8.0, "hf-olmoe-tiny"),
              AllOf(HasSubstr("clip_qkv is 8.0"), HasSubstr("expected null")));
  EXPECT_THAT(refusal("attention_bias", true, "hf-olmoe-tiny"), HasSubstr("attention_bias"));
  EXPECT_THAT(refusal("head_dim", 6, "hf-olmoe-tiny"), HasSubstr("model.head_dim = 6"));
  EXPECT_THAT(refusal("decoder_sparse_step", 2, "hf-qwen3-tiny"), HasSubstr("decoder_sparse_step"));
  EXPECT_THAT(refusal("mlp_only_layers", {0}, "hf-qwen3-tiny"), HasSubstr("mlp_only_layers"));
}

TEST(HubConfig, UnknownFieldsAreRefusedUnlessNull) {
  EXPECT_THAT(refusal("hidden_sise", 3),
              AllOf(HasSubstr("unknown field hidden_sise"), HasSubstr("nearest: hidden_size")));
  json root = fixture("hf-mixtral-tiny");
  root["something_new"] = nullptr;
  EXPECT_NO_THROW(parse(root));
}

TEST(HubConfig, MissingAndWrongTypesNameTheField) {
  json root = fixture("hf-mixtral-tiny");
  root.erase("hidden_size");
  EXPECT_EQ(message_of<InvalidArgument>([&] { parse(root); }), "config.json: no field hidden_size");
  EXPECT_THAT(refusal("hidden_size", "wide"), HasSubstr("hidden_size is \"wide\""));
  EXPECT_THAT(refusal("num_hidden_layers", 0), HasSubstr("an integer of at least 1"));
  EXPECT_THAT(refusal("num_experts_per_tok", 9), HasSubstr("model.top_k = 9"));
  EXPECT_THAT(message_of<InvalidArgument>([] { parse_hub_config("{", "config.json"); }),
              HasSubstr("config.json: not a JSON object"));
}

TEST(HubConfig, UnknownArchitectureNamesTheNearest) {
  EXPECT_THAT(refusal("model_type", "olmo"),
              AllOf(HasSubstr("'olmo' is an unknown architecture; nearest: olmoe"),
                    HasSubstr("known: mixtral, olmoe, qwen3_moe")));
  EXPECT_THAT(refusal("model_type", 3), HasSubstr("model_type is 3"));
}

}  // namespace
}  // namespace hecate::launcher
