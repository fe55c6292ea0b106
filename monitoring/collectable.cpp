#include "monitoring/collectable.h"

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <utility>

namespace hecate::monitoring {
namespace {

class RegistryCollectable final : public prometheus::Collectable {
 public:
  explicit RegistryCollectable(std::shared_ptr<const MetricRegistry> registry)
      : registry_(std::move(registry)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    const MetricRegistry::Snapshot snapshot = registry_->read();
    std::vector<prometheus::MetricFamily> all;
    for (const MetricRegistry::FamilySamples& family : snapshot.families()) {
      const bool counter = family.kind == MetricKind::counter;
      prometheus::MetricFamily& shown = all.emplace_back();
      shown.name = family.name;
      shown.help = family.help;
      shown.type = counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
      for (const MetricRegistry::Sample& sample : family.samples) {
        prometheus::ClientMetric& metric = shown.metric.emplace_back();
        for (const MetricLabel& label : *sample.labels)
          metric.label.push_back({label.name, label.value});
        (counter ? metric.counter.value : metric.gauge.value) = sample.value;
      }
    }
    return all;
  }

 private:
  std::shared_ptr<const MetricRegistry> registry_;
};

}  // namespace

std::shared_ptr<prometheus::Collectable> make_collectable(
    std::shared_ptr<const MetricRegistry> registry) {
  return std::make_shared<RegistryCollectable>(std::move(registry));
}

}  // namespace hecate::monitoring
