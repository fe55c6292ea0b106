#include "tests/launcher/train/pairwise.h"

#include <gtest/gtest.h>

namespace hecate::testing {
namespace {

TEST(Pairwise, EveryPairOfValuesOccurs) {
  const std::vector<int> sizes = {4, 5, 3, 2, 1, 2};
  const auto choices = pairwise(sizes);
  EXPECT_LT(choices.size(), 30u);  // the product has 240
  for (size_t a = 0; a < sizes.size(); ++a)
    for (size_t b = a + 1; b < sizes.size(); ++b)
      for (int i = 0; i < sizes[a]; ++i)
        for (int j = 0; j < sizes[b]; ++j) {
          bool found = false;
          for (const auto& choice : choices) found |= choice[a] == i && choice[b] == j;
          EXPECT_TRUE(found) << a << "=" << i << ", " << b << "=" << j;
        }
}

TEST(Pairwise, TheProductHasEverything) {
  EXPECT_EQ(full_product({2, 2}), (std::vector<std::vector<int>>{{0, 0}, {0, 1}, {1, 0}, {1, 1}}));
}

}  // namespace
}  // namespace hecate::testing
