#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "launcher/generate/generator.h"
#include "tests/launcher/train/tiny_run.h"

namespace hecate::launcher {
namespace {

const std::vector<Real> kLogits = {Real(0.1), Real(2), Real(1), Real(2), Real(-3)};

std::map<int32_t, int> draw(const SamplingOptions& options, int count) {
  std::map<int32_t, int> seen;
  for (int i = 0; i < count; ++i) ++seen[sample_token(options, static_cast<uint64_t>(i), kLogits)];
  return seen;
}

TEST(Sampling, TemperatureZeroTakesTheLikeliestWithTheLowerId) {
  EXPECT_EQ(sample_token({.temperature = 0}, 5, kLogits), 1);
}

TEST(Sampling, FollowsTheSoftmax) {
  const auto seen = draw({.temperature = 1}, 20000);
  double total = 0;
  for (const Real logit : kLogits) total += std::exp(static_cast<double>(logit));
  for (size_t i = 0; i < kLogits.size(); ++i)
    EXPECT_NEAR(seen.contains(static_cast<int32_t>(i)) ? seen.at(static_cast<int32_t>(i)) : 0,
                20000 * std::exp(static_cast<double>(kLogits[i])) / total, 300);
}

TEST(Sampling, TopKAndTopPCutTheTail) {
  EXPECT_THAT(draw({.top_k = 2}, 500), testing::SizeIs(2));
  EXPECT_THAT(draw({.top_p = 0.5}, 500), testing::SizeIs(2));
  EXPECT_THAT(draw({.top_p = 1e-9}, 500), testing::SizeIs(1));
}

TEST(Sampling, DependsOnSeedAndIndexAlone) {
  const SamplingOptions options{.seed = 4};
  EXPECT_EQ(sample_token(options, 9, kLogits), sample_token(options, 9, kLogits));
  EXPECT_NE(draw({.seed = 1}, 200), draw({.seed = 2}, 200));
}

TEST(Sampling, ImpossibleOptionsAreRefused) {
  EXPECT_THROW(sample_token({.temperature = -1}, 0, kLogits), InvalidArgument);
  EXPECT_THROW(sample_token({.top_p = 0}, 0, kLogits), InvalidArgument);
  EXPECT_THROW(sample_token({.top_k = -1}, 0, kLogits), InvalidArgument);
}

class GeneratorTest : public testing::Test {
 protected:
  GeneratorTest() { run_.train("run", {"train.steps=40"}); }
  TinyRun run_;
};

TEST_F(GeneratorTest, PaddingDoesNotChangeLogits) {
  Generator generator(open_model(run_.root() / "run"));
  const std::vector<int32_t> context = {97, 98, 99, 100, 101};
  const auto logits = generator.next_logits(context);
  const std::vector<Real> first(logits.begin(), logits.end());
  // A longer context uses another graph; its prefix must be seen the same way.
  std::vector<int32_t> longer = context;
  longer.resize(16, 97);
  generator.next_logits(longer);
  const auto again = generator.next_logits(context);
  EXPECT_EQ(first, std::vector<Real>(again.begin(), again.end()));
}

// The context grows token by token, jumps, repeats, and slides out of the sequence of 16.
TEST_F(GeneratorTest, KeptKeysGiveTheLogitsOfTheWholeContext) {
  const LoadedModel model = open_model(run_.root() / "run");
  Generator kept(model), fresh(model);
  std::vector<int32_t> tokens = {97, 98, 99};
  const auto check = [&] {
    const auto found = kept.next_logits(tokens);
    fresh.forget();
    const auto wanted = fresh.next_logits(tokens);
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t v = 0; v < found.size(); ++v)
      ASSERT_NEAR(static_cast<double>(found[v]), static_cast<double>(wanted[v]), 1e-5)
          << tokens.size() << " tokens, logit " << v;
  };
  check();
  for (int32_t i = 0; i < 20; ++i) {
    tokens.push_back(97 + i % 7);
    check();
    if (i == 5) check();
  }
  tokens.resize(6);
  check();
  tokens.insert(tokens.end(), {100, 101, 102});
  check();
  tokens[1] = 101;
  check();
}

TEST_F(GeneratorTest, LearnedTextComesOut) {
  const LoadedModel model = open_model(run_.root() / "run");
  const auto tokenizer = open_tokenizer(model);
  Generator generator(model);
  std::vector<int32_t> tokens = {97, 98, 97};
  int emitted = 0;
  generator.generate(tokens, 40, tokenizer->document_end(), {.temperature = 0.7, .seed = 2},
                     [&](int32_t token) {
                       ++emitted;
                       // The text is made of a to g and line ends.
                       EXPECT_TRUE(token == '\n' || (token >= 'a' && token <= 'g')) << token;
                     });
  EXPECT_EQ(emitted, 40);  // longer than the sequence of 16: the window slides
  EXPECT_EQ(tokens.size(), 43u);
}

TEST_F(GeneratorTest, TheSameSeedGivesTheSameText) {
  const auto text = [&] {
    Generator generator(open_model(run_.root() / "run"));
    std::vector<int32_t> tokens = {97};
    generator.generate(tokens, 20, -1, {.seed = 5}, [](int32_t) {});
    return tokens;
  };
  EXPECT_EQ(text(), text());
}

TEST_F(GeneratorTest, WhatIsNoModelIsSaid) {
  EXPECT_THROW(open_model(run_.root() / "nothing"), IoError);
  EXPECT_THROW(open_model(run_.root() / "data"), IoError);
}

TEST_F(GeneratorTest, TheRunKeepsWorkingWithoutItsData) {
  keep_tokenizer(run_.config().data, run_.root() / "run");
  std::filesystem::remove_all(run_.data());
  const LoadedModel model = open_model(run_.root() / "run");
  EXPECT_EQ(open_tokenizer(model)->vocabulary(), 257);
  Generator(model).next_logits(std::vector<int32_t>{97});
}

}  // namespace
}  // namespace hecate::launcher
