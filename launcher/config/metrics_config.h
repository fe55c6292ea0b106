#pragma once
#include <cstdint>
#include <string>

#include "runtime/base/config_fields.h"

namespace hecate::launcher {

struct MetricsConfig {
  std::string address;
  bool allow_remote = false;
  std::string ranks = "first";
  std::string port_taken = "next";
  bool per_expert = false;
  int64_t max_series = 10000;
  std::string targets;
  std::string push_gateway;
  double push_seconds = 10;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("address", self.address, "where metrics are served, as 127.0.0.1:9464; empty: nowhere",
          any());
    visit("allow_remote", self.allow_remote,
          "lets the address be one that other machines can reach", any());
    visit("ranks", self.ranks,
          "who serves: the first rank for all, or each rank its own at the port + its place among "
          "its machine's ranks",
          one_of({"first", "each"}));
    visit(
        "port_taken", self.port_taken,
        "when something else has the port: take the next free one, or go on without serving, with "
        "a warning",
        one_of({"next", "warn"}));
    visit("per_expert", self.per_expert, "one series per expert, besides those per layer", any());
    visit("max_series", self.max_series,
          "time series that a process shows; more are refused, with a warning", at_least(2));
    visit("targets", self.targets,
          "folder in which the run leaves its addresses while it lives, for Prometheus's file "
          "discovery; empty: none",
          any());
    visit(
        "push_gateway", self.push_gateway,
        "HOST:PORT of a Prometheus push gateway that gets the metrics too, for short jobs; empty: "
        "none",
        any());
    visit("push_seconds", self.push_seconds, "between pushes", at_least(0.1));
  }

  bool on() const { return !address.empty() || !push_gateway.empty(); }
  /// @throws InvalidArgument for an address that is none, or that others can reach without
  ///   allow_remote.
  void validate() const;
};

}  // namespace hecate::launcher
