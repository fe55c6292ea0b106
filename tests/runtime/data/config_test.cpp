#include "runtime/data/config.h"

#include <gmock/gmock.h>

#include <limits>

#include "data_fixture.h"
#include "runtime/base/error.h"

namespace hecate::data {
namespace {

using ::testing::HasSubstr;

std::string error(const DataConfig& config) {
  return error_of<InvalidArgument>([&] { config.validate(); });
}

TEST(DataConfig, AcceptsAPathOrAMixture) {
  DataConfig config;
  config.path = "data/kjv";
  config.validate();
  config.path.clear();
  config.mixture = {{"a", 0.5}, {"b", 3}};
  config.validate();
}

TEST(DataConfig, NamesTheKeyOfEveryImpossibleValue) {
  DataConfig none;
  EXPECT_THAT(error(none), HasSubstr("data.path is empty"));
  DataConfig both;
  both.path = "a";
  both.mixture = {{"b", 1}};
  EXPECT_THAT(error(both), HasSubstr("data.path and data.mixture"));
  DataConfig good;
  good.path = "a";
  DataConfig sampler = good;
  sampler.sampler = "epoch";
  EXPECT_THAT(error(sampler), HasSubstr("data.sampler is 'epoch'"));
  for (const double share : {0.0, 1.5}) {
    DataConfig rs2 = good;
    rs2.rs2_share = share;
    EXPECT_THAT(error(rs2), HasSubstr("data.rs2_share"));
  }
}

TEST(DataConfig, MixtureWeightsMustBePositive) {
  for (const double weight : {0.0, -2.0, std::numeric_limits<double>::infinity(),
                              std::numeric_limits<double>::quiet_NaN()}) {
    DataConfig config;
    config.mixture = {{"a", 1}, {"b", weight}};
    EXPECT_THAT(error(config), HasSubstr("data.mixture[1].weight (b) must be above 0"));
  }
  DataConfig nameless;
  nameless.mixture = {{"", 1}};
  EXPECT_THAT(error(nameless), HasSubstr("data.mixture[0].path is empty"));
}

}  // namespace
}  // namespace hecate::data
