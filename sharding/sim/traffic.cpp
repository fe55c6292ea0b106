#include "sharding/sim/traffic.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace hecate::sharding::sim {
namespace {

size_t at(int i) {
  return static_cast<size_t>(i);
}

}  // namespace

FlowSet::FlowSet(int devices, std::vector<Flow> flows)
    : flows_(std::move(flows)), first_(at(devices) + 1) {
  for (const Flow& flow : flows_) {
    ++first_[at(flow.source) + 1];
    ++first_[at(flow.destination) + 1];
  }
  for (size_t d = 1; d < first_.size(); ++d) first_[d] += first_[d - 1];
  index_.resize(2 * flows_.size());
  std::vector<size_t> next(first_.begin(), first_.end() - 1);
  for (size_t i = 0; i < flows_.size(); ++i) {
    index_[next[at(flows_[i].source)]++] = static_cast<int32_t>(i);
    index_[next[at(flows_[i].destination)]++] = static_cast<int32_t>(i);
  }
}

std::shared_ptr<const FlowSet> token_flows(const DispatchPlan& plan) {
  std::vector<Flow> flows;
  for (int s = 0; s < plan.devices(); ++s)
    for (int d = 0; d < plan.devices(); ++d)
      if (s != d && plan.rows_between(s, d) > 0)
        flows.push_back({s, d, static_cast<double>(plan.rows_between(s, d))});
  return std::make_shared<FlowSet>(plan.devices(), std::move(flows));
}

double exchange_latency(const Resources& resources, const FlowSet& flows) {
  std::vector<double> messages(at(resources.devices()));
  bool crosses = false;
  for (const Flow& flow : flows.flows()) {
    if (resources.node(flow.source) == resources.node(flow.destination)) continue;
    crosses = true;
    messages[at(flow.source)] += 1;
  }
  const LinkModel& links = resources.links();
  if (!crosses) return flows.flows().empty() ? 0 : links.inside_latency_s + links.message_s;
  const double flat = *std::ranges::max_element(messages);
  const double per_node = static_cast<double>(resources.devices()) / resources.nodes();
  const double gathered = (resources.nodes() - 1) / per_node + 2 * flat / per_node;
  return links.between_latency_s + std::min(flat, gathered) * links.message_s +
         (gathered < flat ? 2 * links.inside_latency_s : 0);
}

Traffic sparse_traffic(const collectives::SparseSchedule& schedule, const Resources& resources) {
  std::map<std::pair<int, int>, double> bytes;
  for (const collectives::Transfer& transfer : schedule.transfers)
    bytes[{transfer.source, transfer.destination}] += static_cast<double>(transfer.bytes);
  std::vector<Flow> flows;
  std::vector<double> loads(resources.count());
  for (const auto& [ends, sum] : bytes) {
    flows.push_back({ends.first, ends.second, sum});
    resources.add(ends.first, ends.second, sum, loads);
  }
  Traffic traffic;
  traffic.flows = std::make_shared<FlowSet>(resources.devices(), std::move(flows));
  // What the schedule's own model adds to the busiest link: depth of the trees, messages.
  if (!bytes.empty())
    traffic.latency_s = std::max(resources.links().inside_latency_s,
                                 schedule.modelled_seconds - resources.seconds(loads));
  return traffic;
}

Traffic joined(const Traffic& first, const Traffic& second) {
  std::vector<Flow> flows;
  for (const Traffic* each : {&first, &second})
    for (const Flow& flow : each->flows->flows()) {
      const double bytes = flow.units * each->bytes_per_unit;
      flows.push_back(each->reversed ? Flow{flow.destination, flow.source, bytes}
                                     : Flow{flow.source, flow.destination, bytes});
    }
  Traffic traffic;
  traffic.flows = std::make_shared<FlowSet>(first.flows->devices(), std::move(flows));
  traffic.latency_s = first.latency_s + second.latency_s;
  return traffic;
}

Traffic slices_traffic(const collectives::Placement& placement, double bytes, bool reversed,
                       const Resources& resources) {
  const int devices = placement.devices();
  std::vector<Flow> flows;
  for (int d = 0; d < devices; ++d) {
    const double each = placement.held_by(d) * bytes / devices;
    for (int s = 0; s < devices && each > 0; ++s)
      if (s != d) flows.push_back({s, d, each});
  }
  Traffic traffic;
  traffic.flows = std::make_shared<FlowSet>(devices, std::move(flows));
  traffic.reversed = reversed;
  traffic.latency_s = exchange_latency(resources, *traffic.flows);
  return traffic;
}

Traffic all_gather_traffic(double bytes, const Surroundings& all, const Resources& resources) {
  Traffic traffic;
  traffic.loads.assign(resources.count(), 0);
  if (all.devices < 2) return traffic;
  const double nodes = std::ceil(static_cast<double>(all.devices) / all.devices_per_node);
  const double local = std::min(all.devices, all.devices_per_node);
  const double crossing = nodes > 1 ? bytes * (1 - 1 / nodes) : 0;
  // Every device of a node gets what entered through another's adapter, and their own slices.
  const double inside = bytes * (local - 1) / local;
  const double sharing = resources.links().adapter_per_device ? local : 1;
  for (int d = 0; d < resources.devices(); ++d) {
    traffic.loads[resources.port_out(d)] = inside;
    traffic.loads[resources.port_in(d)] = inside;
    traffic.loads[resources.adapter_out(d)] = crossing / sharing;
    traffic.loads[resources.adapter_in(d)] = crossing / sharing;
  }
  const LinkModel& links = resources.links();
  traffic.latency_s = nodes > 1 ? links.between_latency_s + nodes * links.message_s
                                : links.inside_latency_s + local * links.message_s;
  return traffic;
}

Traffic replica_traffic(std::span<const double> bytes, const Surroundings& all,
                        const Resources& resources) {
  Traffic traffic;
  traffic.loads.assign(resources.count(), 0);
  const double size = resources.devices();
  const double domains = all.devices / size;
  if (domains < 2) return traffic;
  // Domains smaller than a node have some of their counterparts beside them.
  const double beside = std::max(1.0, all.devices_per_node / size);
  for (int d = 0; d < resources.devices(); ++d) {
    const double inside = bytes[at(d)] * (beside - 1) / domains;
    const double away = bytes[at(d)] * (domains - beside) / domains;
    traffic.loads[resources.port_out(d)] += inside;
    traffic.loads[resources.port_in(d)] += inside;
    // A shared adapter carries the other domains of the node as well.
    const double times = resources.links().adapter_per_device ? 1 : beside;
    traffic.loads[resources.adapter_out(d)] += away * times;
    traffic.loads[resources.adapter_in(d)] += away * times;
  }
  traffic.latency_s =
      resources.links().between_latency_s + std::min(domains, 32.0) * resources.links().message_s;
  return traffic;
}

void add_loads(const Traffic& traffic, const Resources& resources, std::span<double> loads) {
  for (size_t i = 0; i < traffic.loads.size(); ++i) loads[i] += traffic.loads[i];
  if (!traffic.flows) return;
  for (const Flow& flow : traffic.flows->flows()) {
    const double bytes = flow.units * traffic.bytes_per_unit;
    traffic.reversed ? resources.add(flow.destination, flow.source, bytes, loads)
                     : resources.add(flow.source, flow.destination, bytes, loads);
  }
}

}  // namespace hecate::sharding::sim
