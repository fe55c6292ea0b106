#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <set>

#include "models/routing_source.h"
#include "runtime/base/error.h"
#include "runtime/io/npy.h"
#include "tests/runtime/io/scratch.h"

/// Recorded loads, scaled to other shapes and forced onto tokens.
namespace hecate::models {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

LoadTrace make_trace(int64_t samples, int64_t ranks, int64_t layers, int64_t experts,
                     std::vector<uint32_t> counts) {
  return {.samples = samples,
          .ranks = ranks,
          .layers = layers,
          .experts = experts,
          .counts = std::move(counts)};
}

struct Target {
  int64_t sample = 0, rank = 0, ranks = 1, layer = 0, experts = 4, tokens = 8, top_k = 1;
};

std::vector<int64_t> scaled(const LoadTrace& trace, const Target& to) {
  return scaled_counts(trace, to.sample, to.rank, to.ranks, to.layer, to.experts, to.tokens,
                       to.top_k);
}

TEST(ScaledCountsTest, TheRecordedShapeComesBack) {
  const LoadTrace trace = make_trace(1, 1, 1, 4, {3, 0, 4, 1});
  EXPECT_THAT(scaled(trace, {}), ElementsAre(3, 0, 4, 1));
}

TEST(ScaledCountsTest, FewerExpertsSumNeighbours) {
  const LoadTrace trace = make_trace(1, 1, 1, 4, {3, 0, 4, 1});
  EXPECT_THAT(scaled(trace, {.experts = 2}), ElementsAre(3, 5));
  EXPECT_THAT(scaled(trace, {.experts = 1}), ElementsAre(8));
}

TEST(ScaledCountsTest, FewerRanksSumNeighbours) {
  const LoadTrace trace = make_trace(1, 4, 1, 2, {1, 1, 2, 0, 3, 5, 4, 4});
  EXPECT_THAT(scaled(trace, {.rank = 0, .ranks = 2, .experts = 2, .tokens = 4}), ElementsAre(3, 1));
  EXPECT_THAT(scaled(trace, {.rank = 1, .ranks = 2, .experts = 2, .tokens = 16}),
              ElementsAre(7, 9));
  EXPECT_THAT(scaled(trace, {.experts = 2, .tokens = 20}), ElementsAre(10, 10));
}

TEST(ScaledCountsTest, MoreRanksShareARow) {
  const LoadTrace trace = make_trace(1, 2, 1, 2, {6, 2, 1, 7});
  for (int64_t rank = 0; rank < 4; ++rank)
    EXPECT_THAT(scaled(trace, {.rank = rank, .ranks = 4, .experts = 2, .tokens = 8}),
                rank < 2 ? ElementsAre(6, 2) : ElementsAre(1, 7));
}

TEST(ScaledCountsTest, MoreLayersAndStepsRepeatFromTheFirst) {
  const LoadTrace trace = make_trace(2, 1, 2, 2, {8, 0, 7, 1, 6, 2, 5, 3});
  const auto at = [&](int64_t sample, int64_t layer) {
    return scaled(trace, {.sample = sample, .layer = layer, .experts = 2});
  };
  EXPECT_THAT(at(0, 0), ElementsAre(8, 0));
  EXPECT_THAT(at(0, 1), ElementsAre(7, 1));
  EXPECT_THAT(at(0, 2), ElementsAre(8, 0));
  EXPECT_THAT(at(1, 0), ElementsAre(6, 2));
  EXPECT_THAT(at(1, 3), ElementsAre(5, 3));
  EXPECT_THAT(at(2, 0), ElementsAre(8, 0));  // one recorded step per step, then again
  EXPECT_THAT(at(5, 1), ElementsAre(5, 3));
}

TEST(ScaledCountsTest, AnotherTokenCountRoundsByLargestRemainder) {
  // Shares of 10 choices: 2.5, 2.5, 3.75, 1.25.
  const LoadTrace trace = make_trace(1, 1, 1, 4, {2, 2, 3, 1});
  EXPECT_THAT(scaled(trace, {.tokens = 10}), ElementsAre(3, 2, 4, 1));
  EXPECT_THAT(scaled(trace, {.tokens = 5, .top_k = 2}), ElementsAre(3, 2, 4, 1));
  EXPECT_THAT(scaled(trace, {.tokens = 1}), ElementsAre(0, 0, 1, 0));
}

TEST(ScaledCountsTest, NoExpertGetsATokenTwice) {
  // Summing neighbours puts 14 of 16 choices on expert 0; 8 tokens can go there.
  const LoadTrace trace = make_trace(1, 1, 1, 6, {7, 7, 1, 0, 1, 0});
  EXPECT_THAT(scaled(trace, {.experts = 3, .tokens = 8, .top_k = 2}), ElementsAre(8, 4, 4));
  EXPECT_THAT(scaled(trace, {.experts = 3, .tokens = 8, .top_k = 3}), ElementsAre(8, 8, 8));
}

TEST(ScaledCountsTest, SumsAndLimitsHoldForRandomShapes) {
  std::mt19937 random(5);
  const auto draw = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int round = 0; round < 200; ++round) {
    LoadTrace trace = make_trace(2, 4, 3, 8, {});
    for (int i = 0; i < 2 * 4 * 3 * 8; ++i)
      trace.counts.push_back(static_cast<uint32_t>(draw(0, 1) * draw(0, 4000)));
    for (size_t row = 0; row < trace.counts.size(); row += 8) ++trace.counts[row];
    const int64_t ranks = int64_t{1} << draw(0, 4), experts = int64_t{1} << draw(0, 3);
    const Target to{.sample = draw(0, 9),
                    .rank = draw(0, ranks - 1),
                    .ranks = ranks,
                    .layer = draw(0, 9),
                    .experts = experts,
                    .tokens = draw(1, 500),
                    .top_k = draw(1, experts)};
    const std::vector<int64_t> counts = scaled(trace, to);
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), int64_t{0}), to.tokens * to.top_k);
    for (const int64_t count : counts) EXPECT_TRUE(0 <= count && count <= to.tokens);
  }
}

TEST(ScaledCountsTest, AnotherShapeIsRefusedWithBoth) {
  const LoadTrace trace = make_trace(1, 4, 1, 4, std::vector<uint32_t>(16, 1));
  const auto error = [&](const Target& to) {
    return message_of<InvalidArgument>([&] { scaled(trace, to); });
  };
  EXPECT_EQ(error({.experts = 8}),
            "replay: the trace has 4 experts, which do not sum to 8; nearest: 4");
  EXPECT_EQ(error({.experts = 3}),
            "replay: the trace has 4 experts, which do not sum to 3; nearest: 2 or 4");
  EXPECT_EQ(error({.ranks = 3}),
            "replay: the trace has 4 ranks, which neither sum to 3 nor divide into them; nearest: "
            "2 or 4");
  EXPECT_EQ(error({.ranks = 6}),
            "replay: the trace has 4 ranks, which neither sum to 6 nor divide into them; nearest: "
            "4 or 8");
  EXPECT_EQ(error({.top_k = 5}), "replay: top_k 5 of 4 experts");
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              scaled(make_trace(1, 1, 1, 4, {0, 0, 0, 0}), {});
            }),
            "replay: step 0, rank 0, layer 0 of the trace is empty");
}

class ReplayTest : public ::testing::Test {
 protected:
  ReplayTest() : path_(scratch_ / "trace.npy") {}

  template <class T>
  void write(const char* type, std::vector<int64_t> row_shape, const std::vector<T>& values) {
    io::NpyAppender out(path_, type, row_shape, 0);
    const auto row = static_cast<size_t>(out.row_bytes()) / sizeof(T);
    for (size_t at = 0; at < values.size(); at += row)
      out.append(std::as_bytes(std::span(values).subspan(at, row)));
  }
  std::unique_ptr<RoutingSource> source(const RoutingShape& shape) const {
    return make_routing_source("replay:" + path_.string(), shape);
  }
  std::string error(const RoutingShape& shape = {.experts = 4, .top_k = 1}) const {
    return message_of<InvalidArgument>([&] { source(shape); });
  }
  // Choices of a step in micro-batches of `micro` tokens.
  static std::vector<std::vector<int32_t>> choices(const RoutingSource& source, int64_t layer,
                                                   int64_t step, int64_t tokens, int64_t micro,
                                                   int64_t top_k) {
    std::vector<std::vector<int32_t>> all;
    for (int64_t first = 0; first < tokens; first += micro) {
      std::vector<int32_t> part(static_cast<size_t>(micro * top_k));
      source.assign(
          layer, {.step = step, .first_token = first, .local_token = first, .local_tokens = tokens},
          View<int32_t>(part.data(), {micro, top_k}));
      for (int64_t t = 0; t < micro; ++t)
        all.emplace_back(part.begin() + t * top_k, part.begin() + (t + 1) * top_k);
    }
    return all;
  }

  ScratchDirectory scratch_;
  std::filesystem::path path_;
};

TEST_F(ReplayTest, TokensMeetTheRecordedCounts) {
  write<uint16_t>("<u2", {1, 2, 4}, {10, 2, 3, 1, 1, 1, 7, 7, 4, 4, 4, 4, 8, 8, 0, 0});
  const auto replay = source({.experts = 4, .top_k = 2});
  const std::vector<std::vector<int64_t>> expected = {{8, 3, 4, 1}, {1, 1, 7, 7}};
  for (int64_t layer = 0; layer < 2; ++layer) {
    std::vector<int64_t> counts(4);
    for (const auto& token : choices(*replay, layer, 0, 8, 4, 2)) {
      EXPECT_EQ(std::set<int32_t>(token.begin(), token.end()).size(), 2u);
      for (const int32_t e : token) ++counts[static_cast<size_t>(e)];
    }
    EXPECT_THAT(counts, ElementsAreArray(expected[static_cast<size_t>(layer)]));
  }
  EXPECT_EQ(choices(*replay, 0, 1, 8, 8, 2), choices(*replay, 0, 1, 8, 2, 2));
  EXPECT_EQ(choices(*replay, 0, 1, 8, 8, 2), choices(*replay, 0, 3, 8, 8, 2));
}

TEST_F(ReplayTest, EveryMicroBatchMeetsTheMix) {
  write<uint16_t>("<u2", {1, 1, 4}, {512, 256, 192, 64});
  const auto replay = source({.experts = 4, .top_k = 1});
  const auto all = choices(*replay, 0, 0, 1024, 1024, 1);
  for (size_t begin = 0; begin < all.size(); begin += 128) {
    std::vector<int> counts(4);
    for (size_t t = begin; t < begin + 128; ++t) ++counts[static_cast<size_t>(all[t][0])];
    EXPECT_NEAR(counts[0], 64, 3);
    EXPECT_NEAR(counts[1], 32, 3);
    EXPECT_NEAR(counts[3], 8, 3);
  }
}

TEST_F(ReplayTest, ATraceCountsLayersWithExperts) {
  write<uint32_t>("<u4", {1, 2, 2}, {4, 0, 0, 4});
  const auto replay = source({.experts = 2, .top_k = 1, .moe_layers = {1, 3, 5}});
  EXPECT_EQ(choices(*replay, 1, 0, 4, 4, 1)[0][0], 0);
  EXPECT_EQ(choices(*replay, 3, 0, 4, 4, 1)[0][0], 1);
  EXPECT_EQ(choices(*replay, 5, 0, 4, 4, 1)[0][0], 0);
}

TEST_F(ReplayTest, FilesOfAnotherShapeAreRefused) {
  write<uint16_t>("<u2", {2, 4}, std::vector<uint16_t>(8, 1));
  EXPECT_EQ(error(),
            path_.string() + ": expected four dimensions [step, rank, layer, expert], got 3");
  write<float>("<f4", {1, 1, 4}, std::vector<float>(4, 1));
  EXPECT_EQ(error(), path_.string() + ": expected uint16 or uint32 counts, got <f4");
  write<uint16_t>("<u2", {1, 1, 4}, {});
  EXPECT_EQ(error(), path_.string() + ": empty trace");
  write<uint16_t>("<u2", {1, 1, 4}, {1, 1, 1, 1});
  EXPECT_EQ(
      error({.experts = 8, .top_k = 1}),
      path_.string() + ": replay: the trace has 4 experts, which do not sum to 8; nearest: 4");
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  EXPECT_THAT(error(), HasSubstr(": cut off: shape (1, 1, 1, 4)"));
  EXPECT_THAT(message_of<IoError>([] { make_routing_source("replay:none.npy", {}); }),
              HasSubstr("none.npy: open"));
}

}  // namespace
}  // namespace hecate::models
