#include "runtime/tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace hecate {
namespace {

TEST(Bf16, RoundsToNearestEven) {
  EXPECT_EQ(static_cast<float>(bf16(1.0f)), 1.0f);
  EXPECT_EQ(static_cast<float>(bf16(1.00390625f)), 1.0f);       // tie goes to the even mantissa
  EXPECT_EQ(static_cast<float>(bf16(1.01171875f)), 1.015625f);  // tie goes up to even
}

TEST(Bf16, KeepsInfinityAndNan) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(static_cast<float>(bf16(-infinity)), -infinity);
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace hecate
