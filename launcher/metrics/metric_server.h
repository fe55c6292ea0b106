#pragma once
#include <memory>
#include <string>

#include "launcher/config/metrics_config.h"
#include "monitoring/metric_registry.h"

namespace hecate::monitoring {
class Exporter;
class GpuSampler;
class PushGateway;
}  // namespace hecate::monitoring

namespace hecate::launcher {

/// Who a process is among those that serve metrics.
struct MetricPlace {
  std::string run;      ///< label `run` of every series
  int rank = 0;         ///< of the run; part of what a push gateway keeps apart
  int port_offset = 0;  ///< from metrics.address: the place among its machine's ranks
};

/// A process's metrics, served and pushed as the configuration says. What cannot be served is
/// warned about; the process goes on.
class MetricServer {
 public:
  /// @param config `on()`. @throws InvalidArgument for an impossible address.
  MetricServer(const MetricsConfig& config, const MetricPlace& place);
  /// Waits some seconds for the last push, if there is a gateway.
  ~MetricServer();
  MetricServer(const MetricServer&) = delete;
  MetricServer& operator=(const MetricServer&) = delete;

  MetricSink& sink() { return *registry_; }
  /// Where they are served, as IP:PORT; empty: nowhere.
  const std::string& address() const { return address_; }

 private:
  void serve(const MetricsConfig& config, int port_offset);

  std::shared_ptr<monitoring::MetricRegistry> registry_;
  std::unique_ptr<monitoring::GpuSampler> gpus_;
  std::unique_ptr<monitoring::Exporter> exporter_;
  std::unique_ptr<monitoring::PushGateway> gateway_;
  std::string address_;
};

}  // namespace hecate::launcher
