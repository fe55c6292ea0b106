#include "runtime/base/nearest_name.h"

#include <gtest/gtest.h>

#include <vector>

namespace hecate {
namespace {

TEST(NearestName, FindsATypo) {
  const std::vector<std::string> keys = {"layers", "heads", "d_model"};
  EXPECT_EQ(nearest_name("layer", keys), "layers");
  EXPECT_EQ(nearest_name("d_modl", keys), "d_model");
}

TEST(NearestName, IsEmptyWhenNothingIsClose) {
  const std::vector<std::string> keys = {"layers", "heads"};
  EXPECT_EQ(nearest_name("xyzzy_plugh", keys), "");
  EXPECT_EQ(nearest_name("layers", {}), "");
}

}  // namespace
}  // namespace hecate
