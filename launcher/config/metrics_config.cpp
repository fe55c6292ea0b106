#include "launcher/config/metrics_config.h"

#include "monitoring/address.h"
#include "runtime/base/error.h"

namespace hecate::launcher {

void MetricsConfig::validate() const {
  const size_t colon = push_gateway.rfind(':');
  HECATE_CHECK(push_gateway.empty() ||
                   (colon != std::string::npos && colon > 0 && colon + 1 < push_gateway.size()),
               "metrics.push_gateway = \"", push_gateway, "\": expected HOST:PORT");
  if (address.empty()) return;
  try {
    monitoring::check_local(monitoring::parse_address(address), allow_remote);
  } catch (const InvalidArgument& error) {
    const std::string what = error.what();
    throw InvalidArgument(what.starts_with("metrics.") ? what : "metrics.address: " + what);
  }
}

}  // namespace hecate::launcher
