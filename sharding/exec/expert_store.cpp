#include "sharding/exec/expert_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::sharding::exec {
namespace {

bool lives_on(const Ownership& owners, std::span<const collectives::Placement> holders, int64_t l,
              int64_t e, int rank) {
  const int layer = static_cast<int>(l), expert = static_cast<int>(e);
  return holders.empty() ? owners.owner(layer, expert) == rank
                         : holders[static_cast<size_t>(l)].holds(expert, rank);
}

}  // namespace

ExpertStore::ExpertStore(MemoryLedger& ledger, const ExpertChunks& chunks, Ownership owners,
                         int rank, StateShare share, Residence residence)
    : chunks_(chunks),
      owners_(std::move(owners)),
      rank_(rank),
      share_(share),
      residence_(std::move(residence)) {
  check(chunks_, owners_);
  HECATE_CHECK(share.index >= 0 && share.index < share.count, "expert store: share ", share.index,
               " of ", share.count);
  HECATE_CHECK(!sliced() || !replicated(), "expert store: slices of chunks have no replicas");
  portion_ = portion_of(rank);
  slice_ = part_of(portion_, share.index, share.count);
  for (int i = 0; i < share.count; ++i)
    slice_sizes_.push_back(part_of(portion_, i, share.count).size());
  const int64_t even = (chunks.count() + owners_.devices() - 1) / owners_.devices();
  slots_ = sliced() ? chunks.count() : residence_.slots > 0 ? residence_.slots : even;
  check_room(owners_, residence_.holders);
  slot_of_.assign(static_cast<size_t>(chunks_.count()), -1);
  int64_t next = 0;
  for (int64_t l = 0; l < chunks_.layers; ++l)
    for (int64_t e = 0; e < chunks_.experts; ++e)
      if (sliced() || lives_on(owners_, residence_.holders, l, e, rank))
        slot_of_[index(l, e)] = next++;
  allocate(ledger);
}

void ExpertStore::allocate(MemoryLedger& ledger) {
  const auto zeros = [&](MemoryCategory category, int64_t elements) {
    MemoryBlock block(ledger, category, slots_ * elements * static_cast<int64_t>(sizeof(Real)));
    block.clear();
    return block;
  };
  values_ = zeros(MemoryCategory::parameters, portion_.size());
  gradients_ = zeros(MemoryCategory::gradients, portion_.size());
  if (share_.count > 1) {
    own_values_ = zeros(MemoryCategory::parameters, slice_.size());
    own_gradients_ = zeros(MemoryCategory::gradients, slice_.size());
  }
  first_ = zeros(MemoryCategory::optimizer, slice_.size());
  second_ = zeros(MemoryCategory::optimizer, slice_.size());
}

ElementRange ExpertStore::portion_of(int place) const {
  const ElementRange whole{0, chunks_.elements};
  return sliced() ? part_of(whole, place, owners_.devices()) : whole;
}

collectives::Placement ExpertStore::holders(int layer) const {
  return replicated() ? residence_.holders[static_cast<size_t>(layer)] : owners_.placement(layer);
}

void ExpertStore::clear_gradients() {
  gradients_.clear();
}

void ExpertStore::check(const ExpertChunks& chunks, const Ownership& owners) {
  HECATE_CHECK(owners.layers() == chunks.layers && owners.experts() == chunks.experts,
               "expert owners: [", owners.layers(), ", ", owners.experts(), "], expected [",
               chunks.layers, ", ", chunks.experts, "]");
}

OwnedChunk ExpertStore::chunk(int64_t layer, int64_t expert) const {
  const int64_t slot = slot_of_[index(layer, expert)];
  if (slot < 0) return {};
  const auto at = [&](const MemoryBlock& block, int64_t elements) {
    return reinterpret_cast<Real*>(block.data()) + slot * elements;
  };
  OwnedChunk chunk{.value = at(values_, portion_.size()),
                   .gradient = at(gradients_, portion_.size()),
                   .first_moment = at(first_, slice_.size()),
                   .second_moment = at(second_, slice_.size())};
  const bool all = share_.count == 1;
  chunk.own_value = all ? chunk.value : at(own_values_, slice_.size());
  chunk.own_gradient = all ? chunk.gradient : at(own_gradients_, slice_.size());
  return chunk;
}

Real* ExpertStore::gradient_slot(int64_t slot) const {
  HECATE_CHECK(slot >= 0 && slot < slots_, "expert store: slot ", slot, " of ", slots_);
  return reinterpret_cast<Real*>(gradients_.data()) + slot * portion_.size();
}

void ExpertStore::check_room(const Ownership& owners,
                             std::span<const collectives::Placement> holders) const {
  check(chunks_, owners);
  if (sliced()) return;
  HECATE_CHECK(holders.empty() || std::ssize(holders) == chunks_.layers,
               "expert store: holders of ", holders.size(), " layers, expected ", chunks_.layers);
  int64_t held = 0;
  for (int64_t l = 0; l < chunks_.layers; ++l) {
    if (!holders.empty())
      check_materialized(owners.placement(static_cast<int>(l)), holders[static_cast<size_t>(l)]);
    for (int64_t e = 0; e < chunks_.experts; ++e)
      held += lives_on(owners, holders, l, e, rank_) ? 1 : 0;
  }
  HECATE_CHECK(held <= slots_, "rank ", rank_, " would have ", held, " experts, it has room for ",
               slots_);
}

void ExpertStore::change_owners(Ownership owners, std::vector<collectives::Placement> holders) {
  check_room(owners, holders);
  if (!sliced()) {
    std::vector<bool> used(static_cast<size_t>(slots_), false);
    std::vector<int64_t> slot_of(slot_of_.size(), -1);
    const auto for_each_then = [&](const auto& visit) {
      for (int64_t l = 0; l < chunks_.layers; ++l)
        for (int64_t e = 0; e < chunks_.experts; ++e)
          if (lives_on(owners, holders, l, e, rank_)) visit(index(l, e));
    };
    for_each_then([&](size_t i) {
      slot_of[i] = slot_of_[i];
      if (slot_of[i] >= 0) used[static_cast<size_t>(slot_of[i])] = true;
    });
    int64_t next = 0;
    for_each_then([&](size_t i) {
      if (slot_of[i] >= 0) return;
      while (used[static_cast<size_t>(next)]) ++next;
      slot_of[i] = next++;
    });
    slot_of_ = std::move(slot_of);
  }
  owners_ = std::move(owners);
  residence_.holders = std::move(holders);
  ++epoch_;
}

}  // namespace hecate::sharding::exec
