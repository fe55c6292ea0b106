#include "monitoring/metric_registry.h"

#include <gmock/gmock.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

#include "runtime/base/error.h"

namespace hecate::monitoring {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr MetricFamily kLoss = {"hecate_loss", "Loss."};
constexpr MetricFamily kTokens = {"hecate_tokens_total", "Tokens.", MetricKind::counter};

// "name{label=value,...} value" of what is shown, the registry's own left out.
std::vector<std::string> shown(const MetricRegistry& registry) {
  std::vector<std::string> lines;
  const MetricRegistry::Snapshot snapshot = registry.read();
  for (const auto& family : snapshot.families())
    for (const auto& sample : family.samples) {
      if (family.name.starts_with("hecate_metrics_")) continue;
      std::string line = family.name;
      for (const MetricLabel& label : *sample.labels)
        line += concat(' ', label.name, '=', label.value);
      lines.push_back(concat(line, ' ', sample.value));
    }
  return lines;
}

double own(const MetricRegistry& registry, const std::string& name) {
  const MetricRegistry::Snapshot snapshot = registry.read();
  for (const auto& family : snapshot.families())
    if (family.name == name) return family.samples.at(0).value;
  return std::numeric_limits<double>::quiet_NaN();
}

TEST(MetricRegistryTest, ReadersSeeWhatWasPublished) {
  MetricRegistry registry({.common = {{"run", "a"}}, .warn = nullptr});
  const SeriesId loss = registry.series(kLoss, {});
  const SeriesId first = registry.series(kTokens, {{"rank", "0"}});
  registry.series(kTokens, {{"rank", "1"}});  // never set: not shown
  registry.set(loss, 2.5);
  registry.add(first, 3);
  registry.add(first, 4);
  EXPECT_THAT(shown(registry), ElementsAre());
  registry.publish();
  EXPECT_THAT(shown(registry),
              ElementsAre("hecate_loss run=a 2.5", "hecate_tokens_total run=a rank=0 7"));
  registry.clear(loss);
  registry.set(first, 9);
  registry.publish();
  EXPECT_THAT(shown(registry), ElementsAre("hecate_tokens_total run=a rank=0 9"));
  EXPECT_EQ(own(registry, "hecate_metrics_series"), 5);
}

TEST(MetricRegistryTest, EqualLabelsAreOneSeries) {
  MetricRegistry registry;
  EXPECT_EQ(registry.series(kLoss, {{"a", "1"}}), registry.series(kLoss, {{"a", "1"}}));
  EXPECT_NE(registry.series(kLoss, {{"a", "1"}}), registry.series(kLoss, {{"a", "2"}}));
  EXPECT_NE(registry.series(kLoss, {{"a", "1"}}), registry.series(kLoss, {{"b", "1"}}));
}

TEST(MetricRegistryTest, RefusesMoreThanTheLimitWithOneWarning) {
  std::vector<std::string> warnings;
  MetricRegistry registry(
      {.max_series = 5, .warn = [&](const std::string& text) { warnings.push_back(text); }});
  for (int i = 0; i < 6; ++i) registry.set(registry.series(kLoss, {{"i", std::to_string(i)}}), i);
  registry.add(kNoSeries, 1);
  registry.clear(kNoSeries);
  registry.publish();
  EXPECT_THAT(shown(registry),
              ElementsAre("hecate_loss i=0 0", "hecate_loss i=1 1", "hecate_loss i=2 2"));
  EXPECT_EQ(own(registry, "hecate_metrics_refused_total"), 3);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], HasSubstr("metrics.max_series"));
  EXPECT_NE(registry.series(kLoss, {{"i", "0"}}), kNoSeries);  // those that are there stay
}

TEST(MetricRegistryTest, RefusesNamesThatBreakTheConventions) {
  MetricRegistry registry;
  registry.series(kLoss, {});
  EXPECT_THROW(registry.series({"1loss", ""}, {}), InvalidArgument);
  EXPECT_THROW(registry.series({"hecate loss", ""}, {}), InvalidArgument);
  EXPECT_THROW(registry.series({"hecate_total", ""}, {}), InvalidArgument);
  EXPECT_THROW(registry.series({"hecate_tokens", "", MetricKind::counter}, {}), InvalidArgument);
  EXPECT_THROW(registry.series(kLoss, {{"__name__", "x"}}), InvalidArgument);
  EXPECT_THROW(MetricRegistry({.max_series = 1, .warn = nullptr}), InvalidArgument);
}

// One writer, readers that never see half of a step, new series coming in between.
TEST(MetricRegistryTest, ReadersSeeWholeSteps) {
  MetricRegistry registry;
  std::vector<SeriesId> all;
  for (int i = 0; i < 50; ++i) all.push_back(registry.series(kLoss, {{"i", std::to_string(i)}}));
  std::atomic<bool> stop{false};
  std::atomic<int> torn{0}, reads{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i)
    readers.emplace_back([&] {
      while (!stop) {
        const MetricRegistry::Snapshot snapshot = registry.read();
        for (const auto& family : snapshot.families())
          if (family.name == kLoss.name)
            for (const auto& sample : family.samples)
              torn += sample.value != family.samples.front().value ? 1 : 0;
        ++reads;
      }
    });
  for (int step = 0; step < 2000 || reads < 20; ++step) {
    if (step % 100 == 0 && all.size() < 70)
      all.push_back(registry.series(kLoss, {{"i", std::to_string(all.size())}}));
    for (const SeriesId id : all) registry.set(id, step);
    registry.publish();
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn, 0);
}

}  // namespace
}  // namespace hecate::monitoring
