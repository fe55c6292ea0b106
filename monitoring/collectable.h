#pragma once
#include <memory>

#include "monitoring/metric_registry.h"

namespace prometheus {
class Collectable;
}

namespace hecate::monitoring {

/// What prometheus-cpp asks for metrics: each time, what the registry published last.
std::shared_ptr<prometheus::Collectable> make_collectable(
    std::shared_ptr<const MetricRegistry> registry);

}  // namespace hecate::monitoring
