#include "runtime/data/masking.h"

#include <gtest/gtest.h>

#include <numeric>

#include "runtime/base/error.h"

namespace hecate::data {
namespace {

constexpr size_t kTokens = 100000;
constexpr int32_t kMask = 5000;

struct Masked {
  std::vector<int32_t> tokens = std::vector<int32_t>(kTokens);
  std::vector<int32_t> masked = std::vector<int32_t>(kTokens);
  std::vector<int32_t> targets = std::vector<int32_t>(kTokens);
};

Masked run(uint64_t seed, uint64_t sample, int32_t kept = -1) {
  Masked result;
  for (size_t i = 0; i < kTokens; ++i) result.tokens[i] = static_cast<int32_t>(i % kMask);
  MaskingConfig config;
  config.mask_id = kMask;
  config.random_ids = kMask;
  config.kept_id = kept;
  mask_tokens(config, seed, sample, result.tokens, result.masked, result.targets);
  return result;
}

TEST(MaskTokens, SharesAreThoseOfBert) {
  const Masked result = run(1, 2);
  double selected = 0, masked = 0, random = 0, kept = 0;
  for (size_t i = 0; i < kTokens; ++i) {
    if (result.targets[i] < 0) {
      ASSERT_EQ(result.masked[i], result.tokens[i]);
      continue;
    }
    ASSERT_EQ(result.targets[i], result.tokens[i]);
    ++selected;
    if (result.masked[i] == kMask)
      ++masked;
    else if (result.masked[i] == result.tokens[i])
      ++kept;
    else
      ++random;
  }
  EXPECT_NEAR(selected / kTokens, 0.15, 0.005);
  EXPECT_NEAR(masked / selected, 0.8, 0.015);
  EXPECT_NEAR(random / selected, 0.1, 0.012);
  EXPECT_NEAR(kept / selected, 0.1, 0.012);
}

TEST(MaskTokens, DependsOnSeedAndSampleAlone) {
  EXPECT_EQ(run(1, 2).masked, run(1, 2).masked);
  EXPECT_NE(run(1, 2).targets, run(1, 3).targets);
  EXPECT_NE(run(1, 2).targets, run(2, 2).targets);
}

TEST(MaskTokens, WorksInPlaceAndOnAPrefix) {
  const Masked whole = run(1, 2);
  std::vector<int32_t> tokens(whole.tokens.begin(), whole.tokens.begin() + 500), targets(500);
  MaskingConfig config;
  config.mask_id = kMask;
  config.random_ids = kMask;
  mask_tokens(config, 1, 2, tokens, tokens, targets);
  EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), whole.masked.begin()));
  EXPECT_TRUE(std::equal(targets.begin(), targets.end(), whole.targets.begin()));
}

TEST(MaskTokens, NeverSelectsTheKeptId) {
  const Masked result = run(1, 2, 7);
  for (size_t i = 0; i < kTokens; ++i) {
    if (result.tokens[i] == 7) {
      ASSERT_EQ(result.masked[i], 7);
      ASSERT_EQ(result.targets[i], -1);
    }
  }
}

TEST(MaskTokens, RefusesMissingIdsAndImpossibleShares) {
  std::vector<int32_t> tokens(4), out(4), targets(4), wrong(3);
  MaskingConfig config;
  EXPECT_THROW(mask_tokens(config, 1, 1, tokens, out, targets), InvalidArgument);
  config.mask_id = 9;
  config.random_ids = 9;
  EXPECT_THROW(mask_tokens(config, 1, 1, tokens, out, wrong), InvalidArgument);
  config.mask_share = 0.95;
  EXPECT_THROW(mask_tokens(config, 1, 1, tokens, out, targets), InvalidArgument);
}

}  // namespace
}  // namespace hecate::data
