#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "sharding/sim/traffic.h"

namespace hecate::sharding::sim {

/// The links of the simulated devices while collectives use them. A collective's bytes that can go
/// drain together, as fast as its busiest resource allows. Urgent collectives take what they need,
/// earlier ones first; the others share what is left of a resource evenly.
class Network {
 public:
  /// Called when a collective is over on a rank. @param last the rank that came last.
  using Done = std::function<void(int collective, int rank, double time, int last)>;
  /// @param partial_devices groups of more devices start a collective when all have come.
  Network(const Resources& resources, Done done, int partial_devices = 256);

  /// The rank takes part in the collective from now on. Times never fall over the calls.
  void arrive(int collective, const Traffic& traffic, bool urgent, int rank, double time);
  /// When something will have drained; negative: nothing moves.
  double next() const;
  /// Lets time pass until then at most.
  void advance(double time);

 private:
  struct Collective {
    int number = 0;
    bool urgent = false;
    const Traffic* traffic = nullptr;
    std::vector<double> left;     // bytes per resource that can go
    std::vector<int32_t> absent;  // per rank: its flows whose other end has not come
    std::vector<char> state;      // per rank: 0 away, 1 here, 2 done
    int here = 0, done = 0, last = -1;
    double begun = 0, drains = -1;  // since when `left` counts; when it will be 0; < 0: stalled
    bool busy = false;
  };

  Collective& find(int number, const Traffic& traffic, bool urgent);
  void add_flows(Collective& collective, int rank) const;
  void settle(double time);
  void share(double time);
  void finish(Collective& collective, double time);

  const Resources& resources_;
  Done done_;
  int partial_devices_;
  std::vector<std::unique_ptr<Collective>> active_;  // by number
  std::vector<double> free_, sharers_;
};

}  // namespace hecate::sharding::sim
