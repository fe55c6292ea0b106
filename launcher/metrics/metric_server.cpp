#include "launcher/metrics/metric_server.h"

#include <spdlog/spdlog.h>

#include "monitoring/exporter.h"
#include "monitoring/gpu_sampler.h"
#include "monitoring/push_gateway.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

constexpr int kPortTries = 64;

}  // namespace

MetricServer::MetricServer(const MetricsConfig& config, const MetricPlace& place)
    : registry_(std::make_shared<monitoring::MetricRegistry>(monitoring::RegistryOptions{
          .common = {{"run", place.run}},
          .max_series = config.max_series,
          .warn = [](const std::string& text) { spdlog::warn("{}", text); }})) {
  if (place.port_offset == 0)  // the machine's GPUs once
    gpus_ = std::make_unique<monitoring::GpuSampler>(*registry_, monitoring::GpuReader::open());
  if (!config.address.empty()) serve(config, place.port_offset);
  if (!config.push_gateway.empty())
    gateway_ = std::make_unique<monitoring::PushGateway>(
        registry_, monitoring::PushOptions{
                       .address = config.push_gateway,
                       .group = {{"instance", place.run}, {"rank", std::to_string(place.rank)}},
                       .every_seconds = config.push_seconds});
}

void MetricServer::serve(const MetricsConfig& config, int port_offset) {
  monitoring::Address wanted = monitoring::parse_address(config.address);
  if (wanted.port > 0) wanted.port += port_offset;
  try {
    exporter_ = std::make_unique<monitoring::Exporter>(
        registry_,
        monitoring::ExporterOptions{.address = wanted,
                                    .allow_remote = config.allow_remote,
                                    .port_tries = config.port_taken == "next" ? kPortTries : 1});
  } catch (const IoError& error) {
    spdlog::warn("{}; the run goes on without serving metrics", error.what());
    return;
  }
  address_ = exporter_->address().text();
  if (wanted.port > 0 && exporter_->address().port != wanted.port)
    spdlog::warn("metrics: port {} is taken; serving at {} (metrics.port_taken)", wanted.port,
                 address_);
}

MetricServer::~MetricServer() {
  exporter_.reset();
  if (!gateway_) return;
  gateway_->finish();
  if (const std::string problem = gateway_->problem(); !problem.empty())
    spdlog::warn("metrics: {}", problem);
}

}  // namespace hecate::launcher
