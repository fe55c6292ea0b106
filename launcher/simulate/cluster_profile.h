#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "collectives/topology.h"
#include "runtime/base/config_fields.h"
#include "sharding/sim/cluster.h"

/// A cluster as a TOML file describes it (configs/clusters).
namespace hecate::launcher {

/// A kernel's measured rate, as `hecate bench step --kernels` writes it.
struct KernelEntry {
  std::string kind;
  double rows = 0;
  double gflops = 0;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("kind", self.kind, "of operation: gemm, expert_gemm, attention, ...", any());
    visit("rows", self.rows, "of the product; of one expert where it is grouped", at_least(1));
    visit("gflops", self.gflops, "10^9 flop/s that it ran at", at_least(1e-6));
  }
};

struct DeviceProfile {
  double tflops = 0.1;
  double memory_gb_per_s = 10;
  double memory_gib = 0;
  double launch_us = 0;
  double gemm_efficiency = 1;
  double expert_efficiency = 1;
  double attention_efficiency = 1;
  double half_rows = 0;
  double host_us = 0;
  double plan_ns = 0;
  double step_ms = 0;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("tflops", self.tflops, "peak of its matrix products, 10^12 flop/s", at_least(1e-6));
    visit("memory_gb_per_s", self.memory_gb_per_s, "of its memory, 10^9 bytes/s", at_least(1e-6));
    visit("memory_gib", self.memory_gib, "its memory; 0: unlimited", at_least(0));
    visit("launch_us", self.launch_us, "microseconds of every operation besides its work",
          at_least(0));
    visit("gemm_efficiency", self.gemm_efficiency, "of the peak that dense products reach",
          between(0.001, 1));
    visit("expert_efficiency", self.expert_efficiency, "the same of experts with many rows",
          between(0.001, 1));
    visit("attention_efficiency", self.attention_efficiency, "the same of attention",
          between(0.001, 1));
    visit("half_rows", self.half_rows, "rows per expert with which its products run at half that",
          at_least(0));
    visit("host_us", self.host_us, "microseconds that the host needs once counts are known",
          at_least(0));
    visit("plan_ns", self.plan_ns,
          "nanoseconds of that per pair of a source and an expert, for the tokens' plan",
          at_least(0));
    visit("step_ms", self.step_ms, "milliseconds of a step outside of its operations", at_least(0));
  }
};

struct LinkProfile {
  int64_t devices_per_node = 8;
  double inside_gb_per_s = 100;
  double inside_latency_us = 5;
  std::string adapter = "node";
  double between_gb_per_s = 12.5;
  double between_latency_us = 10;
  double message_us = 0;
  int64_t segment_kib = 64;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("devices_per_node", self.devices_per_node, "that reach each other inside", at_least(1));
    visit("inside_gb_per_s", self.inside_gb_per_s,
          "of a device's port inside its node, each way, 10^9 bytes/s", at_least(1e-6));
    visit("inside_latency_us", self.inside_latency_us, "microseconds", at_least(0));
    visit("adapter", self.adapter, "who has a network adapter of its own",
          one_of({"node", "device"}));
    visit("between_gb_per_s", self.between_gb_per_s, "of one adapter, each way", at_least(1e-6));
    visit("between_latency_us", self.between_latency_us, "microseconds", at_least(0));
    visit("message_us", self.message_us, "of a device per message besides its bytes", at_least(0));
    visit("segment_kib", self.segment_kib, "pieces that transfers are pipelined in", at_least(1));
  }
};

/// What a number takes on the wire and in memory, where this build's own differs.
struct BytesProfile {
  double token = 4;
  double parameter = 4;
  double gradient = 4;
  double activation = 4;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("token", self.token, "bytes of a number of a token on its way", between(1, 8));
    visit("parameter", self.parameter, "of a gathered parameter, on its way and materialized",
          between(1, 8));
    visit("gradient", self.gradient, "of a gradient on its way", between(1, 8));
    visit("activation", self.activation, "of what operations read and write", between(1, 8));
  }
};

struct ClusterProfile {
  std::string description;
  DeviceProfile device;
  LinkProfile links;
  BytesProfile bytes;
  std::vector<KernelEntry> kernel;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("description", self.description, "where the figures come from", config::any());
    visit("device", self.device, "what a device computes");
    visit("links", self.links, "what connects devices");
    visit("bytes", self.bytes, "what a number takes");
    visit("kernel", self.kernel, "measured rates, in place of the efficiencies");
  }

  sharding::sim::DeviceModel device_model() const;
  sharding::sim::LinkModel link_model() const;
  /// As the planners see it: a node's link is all of its adapters together.
  collectives::Topology topology(int devices) const;
};

/// @param file of a profile. @throws as config::Settings and config::apply; InvalidArgument for a
///   kind of kernel that is none.
ClusterProfile load_cluster_profile(const std::string& file);
/// Every key of a profile with its meaning.
std::string explain_cluster_profile();

}  // namespace hecate::launcher
