#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// A cluster that is not there: how fast its devices compute and what its links carry. Pure; part
/// of the simulator of training steps.
namespace hecate::sharding::sim {

/// Links of devices that lie together in nodes. Every direction counts for itself.
struct LinkModel {
  double inside_bytes_per_s = 1e9;  ///< of a device's port to the others of its node
  double inside_latency_s = 1e-6;
  double between_bytes_per_s = 1e9;  ///< of one network adapter
  double between_latency_s = 1e-5;
  bool adapter_per_device = false;  ///< else the devices of a node share one
  double message_s = 0;             ///< what a message costs a device besides its bytes
};

/// A measured point of a kernel: operations of `kind` on `rows` rows run at `flops_per_s`.
struct KernelPoint {
  int kind = 0;
  double rows = 0, flops_per_s = 0;
};

/// What computing costs on one device.
struct DeviceModel {
  double flops_per_s = 1e12;
  double bytes_per_s = 1e12;
  double launch_s = 0;   ///< of every operation
  double half_rows = 0;  ///< rows per expert with which expert products run at half speed
  std::vector<double> efficiency = {};  ///< per kind of operation: of flops_per_s; missing ones 1
  std::vector<KernelPoint> measured = {};  ///< replaces the rate of the kinds that occur in it
};

/// Work of one operation on one device.
struct Work {
  int kind = 0;
  double flops = 0, bytes = 0;
  double rows = 0;    ///< of the operand, for measured kernels
  double groups = 0;  ///< experts that the rows belong to; 0: one product
};

/// Seconds of the work: the longer of its flops at the kernel's rate and its bytes at the memory's,
/// and the launch. Measured kinds interpolate their rate between the points by the logarithm of the
/// rows per group, and keep the nearest one's beyond them; the others run at
/// efficiency * r / (r + half_rows) of the device, r the rows per group (1 where there are no
/// groups).
double seconds_of(const DeviceModel& device, const Work& work);

/// The resources of a group of devices that transfers load, as numbers: the port of each device in
/// and out, then the adapters out and in.
class Resources {
 public:
  /// @param node_of per device, nodes without gaps.
  Resources(std::span<const int> node_of, const LinkModel& links);

  int devices() const { return static_cast<int>(node_of_.size()); }
  int nodes() const { return nodes_; }
  int node(int device) const { return node_of_[static_cast<size_t>(device)]; }
  size_t count() const { return capacity_.size(); }
  std::span<const double> bytes_per_s() const { return capacity_; }
  const LinkModel& links() const { return links_; }

  size_t port_out(int device) const { return static_cast<size_t>(device); }
  size_t port_in(int device) const { return node_of_.size() + static_cast<size_t>(device); }
  size_t adapter_out(int device) const { return 2 * node_of_.size() + adapter(device); }
  size_t adapter_in(int device) const { return 2 * node_of_.size() + adapters_ + adapter(device); }
  bool is_adapter(size_t resource) const { return resource >= 2 * node_of_.size(); }

  /// Adds a transfer's bytes to what it loads.
  void add(int source, int destination, double bytes, std::span<double> loads) const;
  /// Seconds that the loads take at least: the busiest resource.
  double seconds(std::span<const double> loads) const;

 private:
  size_t adapter(int device) const {
    return static_cast<size_t>(links_.adapter_per_device ? device : node(device));
  }

  std::vector<int> node_of_;
  LinkModel links_;
  int nodes_;
  size_t adapters_;
  std::vector<double> capacity_;
};

}  // namespace hecate::sharding::sim
