#pragma once
#include <cstdint>
#include <optional>
#include <span>

#include "collectives/placement.h"
#include "sharding/cost.h"

namespace hecate::sharding {

/// Sparse materialization, algorithm 1 of arXiv 2502.02581: which experts exist where for one step
/// of one layer. t = min(t, E), m = min(m, t). Where t <= m, the t most loaded experts go to every
/// device. Otherwise they share R * m slots by load, round(R * m * F_e / sum of F over the t)
/// copies each beside the owner's (at least one while slots last, at most R - 1; half rounds up;
/// one each where all loads are 0), most loaded expert first, copy by copy: to the node with the
/// fewest copies of it, then the most free slots, then the lower index, that has a device for it;
/// there to the device with the most free slots, then the lower index. Equal loads: lower index
/// first.
/// @param owners one holder per expert. @param loads per expert. @param t, m >= 0.
/// @param node_of per device. Pure: equal inputs, equal placement.
/// @throws InvalidArgument for sizes that disagree, a negative or infinite load, or two owners.
collectives::Placement materialize(const collectives::Placement& owners,
                                   std::span<const double> loads, int t, int m,
                                   std::span<const int> node_of);

struct CalibrationRequest {
  const collectives::Placement* owners = nullptr;
  const collectives::Placement* materialized = nullptr;  ///< P', planned from the forecast
  std::span<const int64_t> counts = {};  ///< [devices, experts]: what the gate sent, after drops
  int t = 0;
  std::span<const int> free_slots = {};  ///< per device: copies that still fit beside P'
  DispatchPolicy dispatch = DispatchPolicy::nearest;  ///< that the layer will use
};

/// What calibration found. Seconds are modelled.
struct Calibration {
  collectives::Placement placement;  ///< P'', a superset of P'
  double saved_seconds = 0;          ///< of the layer's exchange and expert compute
  double gather_seconds = 0;         ///< of bringing P'' about, on the critical path
};

/// The paper's optional correction after the gate: algorithm 1 with the true loads on top of P' and
/// in the slots left. The slots of P' and the free ones are shared by true load, so that an expert
/// that has its share already gets nothing more. Nothing where no copy is added or where the
/// predicted saving is not larger than the extra gather.
/// @throws InvalidArgument unless P' keeps the owners and sizes agree.
std::optional<Calibration> calibrate(const CalibrationRequest& request, const LayerCost& cost);

}  // namespace hecate::sharding
