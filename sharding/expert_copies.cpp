#include "sharding/expert_copies.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace hecate::sharding {

ExpertCopies::ExpertCopies(int experts, int devices)
    : experts_(experts),
      devices_(devices),
      counts_(static_cast<size_t>(experts) * static_cast<size_t>(devices)),
      total_(static_cast<size_t>(experts)),
      used_(static_cast<size_t>(devices)) {
  HECATE_CHECK(experts > 0 && devices > 0, "expert copies: ", experts, " experts on ", devices,
               " devices; expected positive numbers");
}

ExpertCopies ExpertCopies::of_owners(std::span<const int> owners, int devices, int slots) {
  const auto experts = static_cast<int>(owners.size());
  ExpertCopies copies(experts, devices);
  for (int e = 0; e < experts; ++e) copies.add(e, owners[static_cast<size_t>(e)]);
  const auto least_held = [&] {
    return static_cast<int>(std::ranges::min_element(copies.total_) - copies.total_.begin());
  };
  for (int d = 0; d < devices; ++d) {
    HECATE_CHECK(copies.used(d) <= slots, "expert copies: device ", d, " owns ", copies.used(d),
                 " experts and has ", slots, " slots");
    std::vector<int> owned;
    for (int e = 0; e < experts; ++e)
      if (owners[static_cast<size_t>(e)] == d) owned.push_back(e);
    for (size_t next = 0; copies.used(d) < slots; ++next)
      copies.add(owned.empty() ? least_held() : owned[next % owned.size()], d);
  }
  return copies;
}

void ExpertCopies::add(int expert, int device, int slots) {
  counts_[index(expert, device)] += slots;
  total_[static_cast<size_t>(expert)] += slots;
  used_[static_cast<size_t>(device)] += slots;
}

collectives::Placement ExpertCopies::placement() const {
  collectives::Placement placement(experts_, devices_);
  for (int e = 0; e < experts_; ++e) {
    HECATE_CHECK(total(e) > 0, "expert copies: expert ", e, " has no slot");
    for (int d = 0; d < devices_; ++d)
      if (count(e, d) > 0) placement.add(e, d);
  }
  return placement;
}

}  // namespace hecate::sharding
