#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "collectives/placement.h"
#include "collectives/sparse_schedule.h"
#include "sharding/dispatch.h"
#include "sharding/sim/cluster.h"

/// What a collective moves, for the simulator.
namespace hecate::sharding::sim {

struct Flow {
  int32_t source = 0, destination = 0;
  double units = 0;
};

/// Who sends how much to whom, with every device's flows at hand.
class FlowSet {
 public:
  FlowSet(int devices, std::vector<Flow> flows);
  int devices() const { return static_cast<int>(first_.size()) - 1; }
  std::span<const Flow> flows() const { return flows_; }
  /// Indices of the flows that a device sends or receives.
  std::span<const int32_t> of(int device) const {
    return {index_.data() + first_[static_cast<size_t>(device)],
            index_.data() + first_[static_cast<size_t>(device) + 1]};
  }

 private:
  std::vector<Flow> flows_;
  std::vector<size_t> first_;
  std::vector<int32_t> index_;
};

/// A collective of the simulated devices. Either flows, each of which can go once both of its ends
/// have come, or loads that all devices put on the links together once all have come.
struct Traffic {
  std::shared_ptr<const FlowSet> flows;
  bool reversed = false;      ///< flows go from destination to source
  double bytes_per_unit = 1;  ///< of the flows
  std::vector<double> loads;  ///< bytes per resource, beside or instead of flows
  double latency_s = 0;       ///< from the last byte's departure to the end
  bool together() const { return flows == nullptr; }
};

/// Rows between devices; units are rows.
std::shared_ptr<const FlowSet> token_flows(const DispatchPlan& plan);
/// Latency and messages of one exchange of these flows: flat, or gathered by node, whichever is
/// less, as the token exchange chooses.
double exchange_latency(const Resources& resources, const FlowSet& flows);

/// A sparse collective's transfers; units are bytes.
Traffic sparse_traffic(const collectives::SparseSchedule& schedule, const Resources& resources);

/// Two collectives one after the other on the same devices, as one; units are bytes.
Traffic joined(const Traffic& first, const Traffic& second);

/// Every holder of an expert gets a slice of it from each device (or, reversed, gives one back);
/// units are bytes. @param bytes of an expert.
Traffic slices_traffic(const collectives::Placement& placement, double bytes, bool reversed,
                       const Resources& resources);

/// The whole cluster around the simulated devices, which are the first of `devices`: other domains
/// do what these do.
struct Surroundings {
  int devices = 1;  ///< of the whole cluster
  int devices_per_node = 1;
};

/// All devices gather `bytes` in equal slices (or reduce them to slices): every byte enters a node
/// once and is spread inside.
Traffic all_gather_traffic(double bytes, const Surroundings& all, const Resources& resources);
/// Devices at one place of every domain gather what this device owns in equal slices.
/// @param bytes per simulated device.
Traffic replica_traffic(std::span<const double> bytes, const Surroundings& all,
                        const Resources& resources);

/// Adds up what a collective puts on the resources.
void add_loads(const Traffic& traffic, const Resources& resources, std::span<double> loads);

}  // namespace hecate::sharding::sim
