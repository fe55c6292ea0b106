#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace hecate::collectives {

/// Which device holds which expert of one layer: P, a set of (expert, device).
/// Source: arXiv 2502.02581, section 3.
class Placement {
 public:
  Placement(int experts, int devices);
  /// owner[e] is the only device that holds expert e.
  static Placement from_owners(std::span<const int> owners, int devices);

  int experts() const { return static_cast<int>(holders_.size()); }
  int devices() const { return devices_; }
  /// Devices of an expert, rising.
  std::span<const int> holders(int expert) const { return holders_[static_cast<size_t>(expert)]; }
  bool holds(int expert, int device) const;
  /// Does nothing where it is there already.
  void add(int expert, int device);
  void add_everywhere(int expert);
  /// How many experts a device holds.
  int held_by(int device) const;
  bool operator==(const Placement&) const = default;

 private:
  void check_expert(int expert) const;

  int devices_;
  std::vector<std::vector<int>> holders_;
};

/// The owner of every expert. @throws InvalidArgument unless each has exactly one holder.
std::vector<int> owners_of(const Placement& owners);
/// @throws InvalidArgument unless `owners` has one holder per expert, which `materialized` (of the
///   same experts and devices) keeps: P is a subset of P'.
void check_materialized(const Placement& owners, const Placement& materialized);

}  // namespace hecate::collectives
