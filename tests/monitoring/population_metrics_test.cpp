#include "monitoring/population_metrics.h"

#include <gmock/gmock.h>

#include "monitoring/metric_registry.h"
#include "runtime/base/error.h"

namespace hecate::monitoring {
namespace {

std::vector<std::string> members_shown(const MetricRegistry& registry, const std::string& name) {
  std::vector<std::string> lines;
  const MetricRegistry::Snapshot snapshot = registry.read();
  for (const auto& family : snapshot.families())
    if (family.name == "hecate_population_" + name)
      for (const auto& sample : family.samples) {
        std::string line;
        for (const MetricLabel& label : *sample.labels) line += label.value + ' ';
        lines.push_back(concat(line, sample.value));
      }
  return lines;
}

TEST(PopulationMetricsTest, ShowsTheMembersThatThereAre) {
  MetricRegistry registry;
  PopulationMetrics population(registry);
  std::vector<MemberState> members = {{.name = "0",
                                       .step = 10,
                                       .score = 2.5,
                                       .last_seen = 100,
                                       .hyper_parameters = {{"rate", 0.5}}},
                                      {.name = "1",
                                       .alive = false,
                                       .step = 8,
                                       .score = 3.5,
                                       .exploits = 2,
                                       .hyper_parameters = {{"rate", 0.25}, {"decay", 0.125}}}};
  population.write(members);
  EXPECT_THAT(members_shown(registry, "member_up"), testing::ElementsAre("0 1", "1 0"));
  EXPECT_THAT(members_shown(registry, "member_score"), testing::ElementsAre("0 2.5", "1 3.5"));
  EXPECT_THAT(members_shown(registry, "member_step"), testing::ElementsAre("0 10", "1 8"));
  EXPECT_THAT(members_shown(registry, "exploits_total"), testing::ElementsAre("0 0", "1 2"));
  EXPECT_THAT(members_shown(registry, "hyperparameter"),
              testing::ElementsAre("0 rate 0.5", "1 rate 0.25", "1 decay 0.125"));
  EXPECT_THAT(members_shown(registry, "member_seen_timestamp_seconds"),
              testing::ElementsAre("0 100"));
  members.pop_back();
  population.write(members);
  EXPECT_THAT(members_shown(registry, "member_up"), testing::ElementsAre("0 1"));
  EXPECT_THAT(members_shown(registry, "hyperparameter"), testing::ElementsAre("0 rate 0.5"));
  EXPECT_THAT(members_shown(registry, "members"), testing::ElementsAre("1"));
}

}  // namespace
}  // namespace hecate::monitoring
