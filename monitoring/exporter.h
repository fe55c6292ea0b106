#pragma once
#include <memory>

#include "monitoring/address.h"
#include "monitoring/metric_registry.h"

namespace hecate::monitoring {

struct ExporterOptions {
  Address address;
  bool allow_remote = false;
  int port_tries = 1;  ///< ports from the address's on, of which the first free one is taken
};

/// Serves a registry over HTTP at /metrics, in threads of its own that no signal interrupts. Few
/// connections are served at a time, and each for a second at most, so that neither many clients
/// nor slow ones hold more than that; the others wait in the kernel.
class Exporter {
 public:
  /// @throws InvalidArgument for an address that others can reach, without allow_remote; IoError
  ///   with address and reason when no port can be had.
  Exporter(const std::shared_ptr<const MetricRegistry>& registry, const ExporterOptions& options);
  ~Exporter();
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;

  /// Where it really listens.
  const Address& address() const { return address_; }

 private:
  struct Server;
  Address address_;
  std::unique_ptr<Server> server_;
};

}  // namespace hecate::monitoring
