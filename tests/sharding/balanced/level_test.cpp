#include "sharding/balanced/level.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <numeric>

#include "runtime/base/rng.h"

namespace hecate::sharding::balanced {
namespace {

struct Drawn {
  explicit Drawn(uint64_t seed) : rng(seed, stream_of("level")) {
    bins = 1 + below(6);
    const int items = 1 + below(6);
    first.push_back(0);
    load.assign(static_cast<size_t>(bins), 0);
    for (int i = 0; i < items; ++i) {
      std::vector<int> all(static_cast<size_t>(bins));
      std::iota(all.begin(), all.end(), 0);
      for (int k = 1 + below(std::min(3, bins)); k > 0; --k) {
        const size_t at = static_cast<size_t>(below(static_cast<int>(all.size())));
        bin.push_back(all[at]);
        all.erase(all.begin() + static_cast<int64_t>(at));
        rows.push_back(below(3) == 0 ? 0 : below(40));
        load[static_cast<size_t>(bin.back())] += rows.back();
      }
      first.push_back(static_cast<int>(bin.size()));
    }
  }
  int below(int bound) {
    return static_cast<int>(rng.below(draws++, static_cast<uint64_t>(bound)));
  }
  int64_t item_rows(size_t i) const {
    return std::accumulate(rows.begin() + first[i], rows.begin() + first[i + 1], int64_t{0});
  }
  // Hall: the least maximum is that of the fullest set of bins, counting items that have no others.
  int64_t least_level() const {
    int64_t least = 0;
    for (unsigned set = 1; set < 1u << bins; ++set) {
      int64_t sum = 0;
      for (size_t i = 0; i + 1 < first.size(); ++i) {
        bool inside = true;
        for (int p = first[i]; p < first[i + 1]; ++p)
          inside = inside && (set >> bin[static_cast<size_t>(p)] & 1) != 0;
        if (inside) sum += item_rows(i);
      }
      const int64_t among = std::popcount(set);
      least = std::max(least, (sum + among - 1) / among);
    }
    return least;
  }

  CounterRng rng;
  uint64_t draws = 0;
  int bins = 0;
  std::vector<int> first, bin;
  std::vector<int64_t> rows, load;
};

TEST(LevellerTest, AttainsTheLeastMaximumAndKeepsEveryItem) {
  Leveller leveller;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    Drawn drawn(seed);
    const Drawn before = drawn;
    const int64_t floor = drawn.below(30);
    const int64_t level =
        leveller.level({.first = drawn.first, .bin = drawn.bin, .bins = drawn.bins}, drawn.rows,
                       drawn.load, floor);
    std::vector<int64_t> load(drawn.load.size());
    for (size_t p = 0; p < drawn.rows.size(); ++p) {
      EXPECT_GE(drawn.rows[p], 0);
      load[static_cast<size_t>(drawn.bin[p])] += drawn.rows[p];
    }
    ASSERT_EQ(load, drawn.load) << "seed " << seed;
    for (size_t i = 0; i + 1 < drawn.first.size(); ++i)
      ASSERT_EQ(drawn.item_rows(i), before.item_rows(i)) << "seed " << seed;
    const int64_t highest = *std::ranges::max_element(load);
    ASSERT_EQ(level, std::max(floor, before.least_level())) << "seed " << seed;
    ASSERT_LE(highest, level) << "seed " << seed;
    if (level > floor) {
      EXPECT_EQ(highest, level);
      EXPECT_FALSE(leveller.tight().empty());
    }
  }
}

TEST(LevellerTest, MovesNothingBelowTheFloor) {
  const std::vector<int> first = {0, 2}, bin = {0, 1};
  std::vector<int64_t> rows = {10, 0}, load = {10, 0};
  Leveller leveller;
  EXPECT_EQ(leveller.level({.first = first, .bin = bin, .bins = 2}, rows, load, 10), 10);
  EXPECT_EQ(rows, (std::vector<int64_t>{10, 0}));
  EXPECT_EQ(leveller.level({.first = first, .bin = bin, .bins = 2}, rows, load, 7), 7);
  EXPECT_EQ(rows, (std::vector<int64_t>{7, 3}));
  EXPECT_TRUE(leveller.tight().empty());
}

TEST(LevellerTest, PassesRowsAlongAChainOfItems) {
  // Item 0 on bins 0, 1; item 1 on 1, 2; item 2 on 2, 3: bin 0's rows reach bin 3 through all.
  const std::vector<int> first = {0, 2, 4, 6}, bin = {0, 1, 1, 2, 2, 3};
  std::vector<int64_t> rows = {12, 0, 6, 0, 6, 0}, load = {12, 6, 6, 0};
  Leveller leveller;
  EXPECT_EQ(leveller.level({.first = first, .bin = bin, .bins = 4}, rows, load, 0), 6);
  EXPECT_EQ(load, (std::vector<int64_t>{6, 6, 6, 6}));
}

}  // namespace
}  // namespace hecate::sharding::balanced
