#include "models/routing_rule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/config.h"
#include "runtime/base/error.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::models {
namespace {

using hecate::testing::message_of;
using ::testing::HasSubstr;

TEST(RoutingRule, EveryFormIsRead) {
  EXPECT_EQ(parse_routing_rule("learned").kind, RoutingRule::Kind::learned);
  EXPECT_EQ(parse_routing_rule("even").kind, RoutingRule::Kind::even);
  EXPECT_EQ(parse_routing_rule("zipf:1.25").kind, RoutingRule::Kind::zipf);
  EXPECT_EQ(parse_routing_rule("zipf:1.25").exponent, 1.25);
  EXPECT_EQ(parse_routing_rule("zipf:0").exponent, 0);
  EXPECT_EQ(parse_routing_rule("replay:a:b.npy").file, "a:b.npy");
}

TEST(RoutingRule, AnythingElseIsRefusedWithTheNearestForm) {
  const auto refusal = [](const std::string& rule) {
    return message_of<InvalidArgument>([&] { parse_routing_rule(rule); });
  };
  for (const char* rule : {"zipf", "zipf:", "zipf:-1", "zipf:x", "zipf:1x", "zipf:inf"})
    EXPECT_THAT(refusal(rule), HasSubstr("expected zipf:S with a number S >= 0")) << rule;
  EXPECT_THAT(refusal("zip:2"), HasSubstr("nearest: zipf:S"));
  EXPECT_THAT(refusal("lerned"), HasSubstr("nearest: learned"));
  EXPECT_THAT(refusal("replay:"), HasSubstr("nearest: replay:FILE"));
  EXPECT_THAT(refusal("even:2"), HasSubstr("nearest: even"));
  EXPECT_THAT(refusal(""), HasSubstr("router.source = ''"));
}

TEST(RoutingRule, AConfigurationChecksItWithoutOpeningFiles) {
  RouterConfig router;
  router.source = "replay:not there yet";
  EXPECT_NO_THROW(router.validate());
  router.source = "evn";
  EXPECT_THROW(router.validate(), InvalidArgument);
}

}  // namespace
}  // namespace hecate::models
