#include "collectives/placement.h"

#include <algorithm>
#include <numeric>

#include "runtime/base/error.h"

namespace hecate::collectives {

Placement::Placement(int experts, int devices) : devices_(devices) {
  HECATE_CHECK(experts >= 0 && devices > 0, "placement: ", experts, " experts on ", devices,
               " devices");
  holders_.resize(static_cast<size_t>(experts));
}

Placement Placement::from_owners(std::span<const int> owners, int devices) {
  Placement placement(static_cast<int>(owners.size()), devices);
  for (size_t e = 0; e < owners.size(); ++e) placement.add(static_cast<int>(e), owners[e]);
  return placement;
}

void Placement::check_expert(int expert) const {
  HECATE_CHECK(expert >= 0 && expert < experts(), "placement: expert ", expert, " of ", experts());
}

bool Placement::holds(int expert, int device) const {
  const auto& devices = holders_[static_cast<size_t>(expert)];
  return std::binary_search(devices.begin(), devices.end(), device);
}

void Placement::add(int expert, int device) {
  check_expert(expert);
  HECATE_CHECK(device >= 0 && device < devices_, "placement: device ", device, " of ", devices_);
  auto& devices = holders_[static_cast<size_t>(expert)];
  const auto at = std::lower_bound(devices.begin(), devices.end(), device);
  if (at == devices.end() || *at != device) devices.insert(at, device);
}

void Placement::add_everywhere(int expert) {
  check_expert(expert);
  auto& devices = holders_[static_cast<size_t>(expert)];
  devices.resize(static_cast<size_t>(devices_));
  std::iota(devices.begin(), devices.end(), 0);
}

int Placement::held_by(int device) const {
  int count = 0;
  for (int e = 0; e < experts(); ++e) count += holds(e, device) ? 1 : 0;
  return count;
}

std::vector<int> owners_of(const Placement& owners) {
  std::vector<int> result;
  for (int e = 0; e < owners.experts(); ++e) {
    HECATE_CHECK(owners.holders(e).size() == 1, "placement: expert ", e, " has ",
                 owners.holders(e).size(), " owners, expected 1");
    result.push_back(owners.holders(e)[0]);
  }
  return result;
}

void check_materialized(const Placement& owners, const Placement& materialized) {
  HECATE_CHECK(
      owners.experts() == materialized.experts() && owners.devices() == materialized.devices(),
      "placement: owners are ", owners.experts(), " experts on ", owners.devices(),
      " devices, materialized ", materialized.experts(), " on ", materialized.devices());
  const std::vector<int> owner = owners_of(owners);
  for (int e = 0; e < owners.experts(); ++e)
    HECATE_CHECK(materialized.holds(e, owner[static_cast<size_t>(e)]), "placement: expert ", e,
                 " is not materialized on its owner, device ", owner[static_cast<size_t>(e)]);
}

}  // namespace hecate::collectives
