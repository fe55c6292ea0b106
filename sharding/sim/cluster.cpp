#include "sharding/sim/cluster.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/error.h"

namespace hecate::sharding::sim {
namespace {

// 0 where the kind was not measured.
double measured_rate(const DeviceModel& device, int kind, double rows) {
  const KernelPoint *below = nullptr, *above = nullptr;
  for (const KernelPoint& point : device.measured) {
    if (point.kind != kind) continue;
    if (point.rows <= rows && (below == nullptr || point.rows > below->rows)) below = &point;
    if (point.rows >= rows && (above == nullptr || point.rows < above->rows)) above = &point;
  }
  if (below == nullptr && above == nullptr) return 0;
  if (below == nullptr || above == nullptr) return (below != nullptr ? below : above)->flops_per_s;
  if (below->rows == above->rows) return below->flops_per_s;
  const double at = std::log(rows / below->rows) / std::log(above->rows / below->rows);
  return below->flops_per_s + at * (above->flops_per_s - below->flops_per_s);
}

}  // namespace

double seconds_of(const DeviceModel& device, const Work& work) {
  const double per_group = work.groups > 0 ? work.rows / work.groups : work.rows;
  double rate = measured_rate(device, work.kind, std::max(per_group, 1.0));
  if (rate == 0) {
    const auto kind = static_cast<size_t>(work.kind);
    rate = device.flops_per_s * (kind < device.efficiency.size() ? device.efficiency[kind] : 1.0);
    if (work.groups > 0 && per_group > 0) rate *= per_group / (per_group + device.half_rows);
  }
  return device.launch_s + std::max(work.flops / rate, work.bytes / device.bytes_per_s);
}

Resources::Resources(std::span<const int> node_of, const LinkModel& links)
    : node_of_(node_of.begin(), node_of.end()), links_(links) {
  HECATE_CHECK(!node_of_.empty(), "simulator: no devices");
  HECATE_CHECK(links.inside_bytes_per_s > 0 && links.between_bytes_per_s > 0,
               "simulator: links of ", links.inside_bytes_per_s, " and ", links.between_bytes_per_s,
               " bytes/s, expected positive numbers");
  nodes_ = 1 + *std::ranges::max_element(node_of_);
  adapters_ = links.adapter_per_device ? node_of_.size() : static_cast<size_t>(nodes_);
  capacity_.assign(2 * node_of_.size(), links.inside_bytes_per_s);
  capacity_.resize(2 * (node_of_.size() + adapters_), links.between_bytes_per_s);
}

void Resources::add(int source, int destination, double bytes, std::span<double> loads) const {
  if (source == destination) return;
  if (node(source) == node(destination)) {
    loads[port_out(source)] += bytes;
    loads[port_in(destination)] += bytes;
  } else {
    loads[adapter_out(source)] += bytes;
    loads[adapter_in(destination)] += bytes;
  }
}

double Resources::seconds(std::span<const double> loads) const {
  double most = 0;
  for (size_t i = 0; i < loads.size(); ++i) most = std::max(most, loads[i] / capacity_[i]);
  return most;
}

}  // namespace hecate::sharding::sim
