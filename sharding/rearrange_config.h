#pragma once
#include <cstdint>

#include "runtime/base/config_fields.h"

namespace hecate::sharding {

/// Table `rearrange`: the strategies of other systems (docs/strategies.md).
struct RearrangeConfig {
  int64_t every = 10;
  int64_t slots = 2;
  double threshold = 1.2;
  int64_t groups = 1;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("every", self.every,
          "smartmoe, flexmoe, eplb: steps between rearrangements of experts; 0: never",
          at_least(0));
    visit("slots", self.slots,
          "flexmoe, eplb, laer: experts of a layer that a rank has room for beyond an even share; "
          "fastermoe: experts of a layer that may be copied to every rank",
          at_least(0));
    visit("threshold", self.threshold,
          "flexmoe: tokens of the busiest rank over the mean above which experts are rearranged",
          at_least(1));
    visit("groups", self.groups, "eplb: groups of neighbouring experts that stay on one node",
          at_least(1));
  }
};

}  // namespace hecate::sharding
