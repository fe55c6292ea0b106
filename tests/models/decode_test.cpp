#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "models/kv_cache.h"
#include "tests/models/tiny_model.h"
#include "tests/runtime/io/scratch.h"

/// Decoding token by token against the whole sequence at once.
namespace hecate::models {
namespace {

using hecate::testing::message_of;
using ::testing::HasSubstr;

constexpr double kTolerance = sizeof(Real) == 8 ? 1e-12 : 1e-5;

std::vector<Variant> causal_variants() {
  std::vector<Variant> all;
  for (Variant& variant : variants()) {
    if (variant.model.objective != "causal" || variant.documents) continue;
    variant.router.capacity_factor = 0;  // what is dropped depends on the whole batch
    all.push_back(variant);
  }
  const auto add = [&](const char* name, const auto& change) {
    Variant variant = all.front();
    variant.name = name;
    variant.model = ModelConfig();
    variant.model.vocabulary = 37;
    variant.model.sequence = 9;
    variant.model.d_model = 16;
    variant.model.layers = 2;
    variant.model.expert_hidden = 12;
    change(variant.model);
    all.push_back(variant);
  };
  add("one_key_head", [](ModelConfig& m) { m.kv_heads = 1; });
  add("no_positions", [](ModelConfig& m) { m.positions = "none"; });
  return all;
}

/// The decoding graph of a model that computes whole sequences, with its weights.
struct Decoding {
  explicit Decoding(TinyModel& whole, int64_t sequences)
      : cache(whole.model, sequences, whole.ledger),
        tokens(static_cast<size_t>(sequences)),
        logits(static_cast<size_t>(sequences * whole.model.vocabulary)),
        graph(whole.model, whole.router, whole.layout, whole.state,
              {.sequences = sequences, .sequence = 1}, GraphMode::decode, false, {}, &cache),
        executor(graph.graph(), whole.lanes, whole.ledger) {
    graph.bind_constants(executor);
    executor.bind(graph.inputs().tokens, tokens.data());
    executor.bind(graph.inputs().logits, logits.data());
  }

  KvCache cache;
  std::vector<int32_t> tokens;
  std::vector<Real> logits;
  TransformerGraph graph;
  graph::Executor executor;
};

class Decode : public ::testing::TestWithParam<Variant> {
 protected:
  static constexpr BatchShape kBatch{.sequences = 3, .sequence = 9};

  /// Logits of sequence `s`, token `t` of the whole run.
  static const Real* row(const TinyModel& whole, int64_t s, int64_t t) {
    return whole.logits.data() + (s * kBatch.sequence + t) * whole.model.vocabulary;
  }
  static void expect_equal(const TinyModel& whole, int64_t s, int64_t t, const Real* found) {
    const Real* wanted = row(whole, s, t);
    for (int64_t v = 0; v < whole.model.vocabulary; ++v)
      ASSERT_NEAR(static_cast<double>(found[v]), static_cast<double>(wanted[v]), kTolerance)
          << "sequence " << s << ", token " << t << ", logit " << v;
  }
};

TEST_P(Decode, TokenByTokenGivesTheLogitsOfTheWhole) {
  TinyModel whole(GetParam().model, GetParam().router, kBatch, GraphMode::logits);
  whole.run();
  Decoding decoding(whole, kBatch.sequences);
  for (int32_t t = 0; t < kBatch.sequence; ++t) {
    decoding.cache.reserve(t + 1);  // grows while it is used
    const std::vector<int32_t> positions(static_cast<size_t>(kBatch.sequences), t);
    decoding.graph.set_positions(positions);
    for (int64_t s = 0; s < kBatch.sequences; ++s)
      decoding.tokens[static_cast<size_t>(s)] =
          whole.tokens[static_cast<size_t>(s * kBatch.sequence + t)];
    decoding.executor.run();
    for (int64_t s = 0; s < kBatch.sequences; ++s)
      expect_equal(whole, s, t, decoding.logits.data() + s * whole.model.vocabulary);
  }
}

// Sequences stand at different places, as texts of different lengths do.
TEST_P(Decode, ABatchedStartIsGoneOnFrom) {
  TinyModel whole(GetParam().model, GetParam().router, kBatch, GraphMode::logits);
  whole.run();
  Decoding decoding(whole, kBatch.sequences);
  decoding.cache.reserve(kBatch.sequence);
  constexpr int64_t kStart = 4;
  TransformerGraph start(whole.model, whole.router, whole.layout, whole.state,
                         {.sequences = kBatch.sequences, .sequence = kStart}, GraphMode::logits,
                         false, {}, &decoding.cache);
  graph::Executor executor(start.graph(), whole.lanes, whole.ledger);
  std::vector<int32_t> tokens;
  for (int64_t s = 0; s < kBatch.sequences; ++s)
    for (int64_t t = 0; t < kStart; ++t)
      tokens.push_back(whole.tokens[static_cast<size_t>(s * kBatch.sequence + t)]);
  std::vector<Real> logits(tokens.size() * static_cast<size_t>(whole.model.vocabulary));
  start.bind_constants(executor);
  executor.bind(start.inputs().tokens, tokens.data());
  executor.bind(start.inputs().logits, logits.data());
  executor.run();
  std::vector<int32_t> at = {4, 2, 3};  // what a sequence holds behind its place is overwritten
  for (; *std::ranges::max_element(at) < kBatch.sequence; ++at[0], ++at[1], ++at[2]) {
    decoding.graph.set_positions(at);
    for (size_t s = 0; s < at.size(); ++s)
      decoding.tokens[s] = whole.tokens[s * kBatch.sequence + static_cast<size_t>(at[s])];
    decoding.executor.run();
    for (size_t s = 0; s < at.size(); ++s)
      expect_equal(whole, static_cast<int64_t>(s), at[s],
                   decoding.logits.data() + static_cast<int64_t>(s) * whole.model.vocabulary);
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, Decode, ::testing::ValuesIn(causal_variants()),
                         [](const auto& each) { return each.param.name; });

TEST(DecodeGraph, StepsAllocateNothing) {
  TinyModel whole(preset("tiny"), {}, {.sequences = 1, .sequence = 32}, GraphMode::logits);
  Decoding decoding(whole, 1);
  decoding.cache.reserve(32);
  const auto step = [&](int32_t position) {
    decoding.graph.set_positions({&position, 1});
    decoding.executor.run();
  };
  step(0);
  const int64_t charges = whole.ledger.charges(), growths = decoding.executor.pool_growths();
  for (int32_t t = 1; t < 32; ++t) step(t);
  EXPECT_EQ(whole.ledger.charges(), charges);
  EXPECT_EQ(decoding.executor.pool_growths(), growths);
}

TEST(DecodeGraph, ImpossibleUsesAreRefused) {
  TinyModel whole(preset("tiny"), {}, {.sequences = 2, .sequence = 4}, GraphMode::logits);
  const auto build = [&](BatchShape batch, GraphMode mode, bool documents, KvCache* cache) {
    return message_of<InvalidArgument>([&] {
      TransformerGraph(whole.model, whole.router, whole.layout, whole.state, batch, mode, documents,
                       {}, cache);
    });
  };
  KvCache cache(whole.model, 2, whole.ledger);
  EXPECT_THAT(build({2, 1}, GraphMode::decode, false, nullptr), HasSubstr("needs a cache"));
  EXPECT_THAT(build({2, 3}, GraphMode::decode, false, &cache), HasSubstr("of one token"));
  EXPECT_THAT(build({2, 1}, GraphMode::decode, true, &cache), HasSubstr("without documents"));
  EXPECT_THAT(build({1, 1}, GraphMode::decode, false, &cache), HasSubstr("the cache has 2"));
  EXPECT_THAT(build({2, 4}, GraphMode::train, false, &cache), HasSubstr("a cache is for decoding"));
  Decoding decoding(whole, 2);
  const std::vector<int32_t> beyond = {0, 32};
  EXPECT_THAT(message_of<InvalidArgument>([&] { decoding.graph.set_positions(beyond); }),
              HasSubstr("position 32 of 32"));
  const std::vector<int32_t> fine = {0, 3};
  decoding.graph.set_positions(fine);
  decoding.cache.reserve(2);
  EXPECT_THAT(message_of<InvalidArgument>([&] { decoding.executor.run(); }),
              HasSubstr("position 3 of 2"));
}

}  // namespace
}  // namespace hecate::models
