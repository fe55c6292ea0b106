#pragma once
#include <memory>
#include <string>

#include "monitoring/metric_registry.h"

namespace hecate::monitoring {

struct PushOptions {
  std::string address;  ///< of the gateway, HOST:PORT
  MetricLabels group =
      {};  ///< of what is pushed: later pushes replace earlier ones of the same group
  double every_seconds = 10;
  double patience_seconds = 5;  ///< for the last push, when the object goes
};

/// Pushes a registry to a Prometheus push gateway from a thread of its own: for jobs that end
/// before anybody scrapes them. The last values are pushed when the object goes.
class PushGateway {
 public:
  /// @param options.address need not answer. @throws InvalidArgument if it is no HOST:PORT.
  PushGateway(std::shared_ptr<const MetricRegistry> registry, const PushOptions& options);
  /// Waits for the last push, but no longer than the patience.
  ~PushGateway();
  PushGateway(const PushGateway&) = delete;
  PushGateway& operator=(const PushGateway&) = delete;

  /// Why the last push failed; empty: it did not.
  std::string problem() const;
  /// Pushes now and waits as the destructor does; nothing is pushed afterwards.
  void finish();

 private:
  struct Pusher;
  double patience_seconds_;
  std::shared_ptr<Pusher> pusher_;  // the thread's, too: it may outlive the object
};

}  // namespace hecate::monitoring
