#include "launcher/simulate/cluster_profile.h"

#include <algorithm>

#include "launcher/config/config.h"
#include "runtime/base/error.h"
#include "runtime/graph/step_graph.h"

namespace hecate::launcher {
namespace {

using graph::OpKind;

int kind_of(const std::string& name) {
  std::string known;
  for (size_t kind = 0; kind < graph::kOpKinds; ++kind) {
    const std::string each(graph::name_of(static_cast<OpKind>(kind)));
    if (each == name) return static_cast<int>(kind);
    known += (known.empty() ? "" : ", ") + each;
  }
  throw InvalidArgument(
      concat("cluster profile: kernel.kind = '", name, "' is unknown; known: ", known));
}

}  // namespace

sharding::sim::DeviceModel ClusterProfile::device_model() const {
  sharding::sim::DeviceModel model;
  model.flops_per_s = 1e12 * device.tflops;
  model.bytes_per_s = 1e9 * device.memory_gb_per_s;
  model.launch_s = 1e-6 * device.launch_us;
  model.half_rows = device.half_rows;
  model.efficiency.assign(graph::kOpKinds, 1.0);
  model.efficiency[static_cast<size_t>(OpKind::gemm)] = device.gemm_efficiency;
  model.efficiency[static_cast<size_t>(OpKind::loss)] = device.gemm_efficiency;
  model.efficiency[static_cast<size_t>(OpKind::attention)] = device.attention_efficiency;
  model.efficiency[static_cast<size_t>(OpKind::expert_gemm)] = device.expert_efficiency;
  for (const KernelEntry& entry : kernel)
    model.measured.push_back(
        {.kind = kind_of(entry.kind), .rows = entry.rows, .flops_per_s = 1e9 * entry.gflops});
  return model;
}

sharding::sim::LinkModel ClusterProfile::link_model() const {
  return {.inside_bytes_per_s = 1e9 * links.inside_gb_per_s,
          .inside_latency_s = 1e-6 * links.inside_latency_us,
          .between_bytes_per_s = 1e9 * links.between_gb_per_s,
          .between_latency_s = 1e-6 * links.between_latency_us,
          .adapter_per_device = links.adapter == "device",
          .message_s = 1e-6 * links.message_us};
}

collectives::Topology ClusterProfile::topology(int devices) const {
  const int per_node = static_cast<int>(std::min<int64_t>(links.devices_per_node, devices));
  const double adapters = links.adapter == "device" ? per_node : 1;
  return collectives::Topology::uniform(
      devices, per_node,
      {.bytes_per_s = 1e9 * links.inside_gb_per_s,
       .latency_s = std::max(1e-9, 1e-6 * links.inside_latency_us)},
      {.bytes_per_s = 1e9 * links.between_gb_per_s * adapters,
       .latency_s = std::max(1e-9, 1e-6 * links.between_latency_us)});
}

ClusterProfile load_cluster_profile(const std::string& file) {
  config::Settings settings;
  settings.add_file(file);
  ClusterProfile profile;
  config::load(settings, profile);
  profile.device_model();  // kinds of kernels
  return profile;
}

std::string explain_cluster_profile() {
  ClusterProfile profile;
  return config::explain(config::bind(profile));
}

}  // namespace hecate::launcher
