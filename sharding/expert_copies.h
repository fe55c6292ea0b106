#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "collectives/placement.h"

namespace hecate::sharding {

/// How the experts of one layer fill the devices' slots. An expert may have several slots of one
/// device: they share its weights there, and count as many times where its tokens are split.
class ExpertCopies {
 public:
  ExpertCopies(int experts, int devices);
  /// Every expert on its owner, and every device's other slots filled: with the experts that it
  /// owns, in turn, or, where it owns none, with those that have the fewest slots in all.
  /// @throws InvalidArgument where a device owns more than `slots`.
  static ExpertCopies of_owners(std::span<const int> owners, int devices, int slots);

  int experts() const { return experts_; }
  int devices() const { return devices_; }
  int count(int expert, int device) const { return counts_[index(expert, device)]; }
  void add(int expert, int device, int slots = 1);
  /// Of an expert, over all devices.
  int total(int expert) const { return total_[static_cast<size_t>(expert)]; }
  int used(int device) const { return used_[static_cast<size_t>(device)]; }
  /// [experts, devices].
  std::span<const int> counts() const { return counts_; }
  /// Which device holds which expert. @throws InvalidArgument for an expert without a slot.
  collectives::Placement placement() const;
  bool operator==(const ExpertCopies&) const = default;

 private:
  size_t index(int expert, int device) const {
    return static_cast<size_t>(expert) * static_cast<size_t>(devices_) +
           static_cast<size_t>(device);
  }

  int experts_, devices_;
  std::vector<int> counts_, total_, used_;
};

}  // namespace hecate::sharding
