#pragma once
#include "sharding/balanced/draft.h"

namespace hecate::sharding::balanced {

/// Copies that level the devices, over all nodes alike: every owner keeps what it can of its
/// experts up to the mean load, smallest first; what is too much goes, largest first, to the device
/// that it fills best (the least room that takes it whole, else the most room, which it fills).
void fill_all(const Problem& problem, Draft& draft);

/// Copies that keep rows on their node: every node takes the `k` experts that it sends most rows to
/// and does not own, and levels its devices as fill_all does, among them. @param spill what is then
/// too much on a device goes to those of other nodes that have room.
void fill_nodes(const Problem& problem, int k, bool spill, Draft& draft);

/// What is free goes to the experts with most rows per holder, so that true loads that differ from
/// the forecast find several holders. With objective time only where no exposed traffic comes of
/// it.
void fill_spare(const Problem& problem, Draft& draft);

}  // namespace hecate::sharding::balanced
