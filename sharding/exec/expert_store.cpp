#include "sharding/exec/expert_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::sharding::exec {
namespace {

int64_t owned_by(const Ownership& owners, int rank) {
  return std::ranges::count(owners.all(), rank);
}

}  // namespace

ExpertStore::ExpertStore(MemoryLedger& ledger, const ExpertChunks& chunks, Ownership owners,
                         int rank, StateShare share)
    : chunks_(chunks), owners_(std::move(owners)), rank_(rank), share_(share) {
  check(chunks_, owners_);
  HECATE_CHECK(share.index >= 0 && share.index < share.count, "expert store: share ", share.index,
               " of ", share.count);
  const ElementRange whole{0, chunks.elements};
  slice_ = part_of(whole, share.index, share.count);
  for (int i = 0; i < share.count; ++i)
    slice_sizes_.push_back(part_of(whole, i, share.count).size());
  slots_ = (chunks.count() + owners_.devices() - 1) / owners_.devices();
  slot_of_.assign(static_cast<size_t>(chunks_.count()), -1);
  int64_t next = 0;
  for (int64_t l = 0; l < chunks_.layers; ++l)
    for (int64_t e = 0; e < chunks_.experts; ++e)
      if (owns(l, e)) slot_of_[static_cast<size_t>(l * chunks_.experts + e)] = next++;
  allocate(ledger);
}

void ExpertStore::allocate(MemoryLedger& ledger) {
  const auto zeros = [&](MemoryCategory category, int64_t elements) {
    MemoryBlock block(ledger, category, slots_ * elements * static_cast<int64_t>(sizeof(Real)));
    block.clear();
    return block;
  };
  values_ = zeros(MemoryCategory::parameters, chunks_.elements);
  gradients_ = zeros(MemoryCategory::gradients, chunks_.elements);
  if (share_.count > 1) {
    own_values_ = zeros(MemoryCategory::parameters, slice_.size());
    own_gradients_ = zeros(MemoryCategory::gradients, slice_.size());
  }
  first_ = zeros(MemoryCategory::optimizer, slice_.size());
  second_ = zeros(MemoryCategory::optimizer, slice_.size());
}

void ExpertStore::check(const ExpertChunks& chunks, const Ownership& owners) {
  HECATE_CHECK(owners.layers() == chunks.layers && owners.experts() == chunks.experts,
               "expert owners: [", owners.layers(), ", ", owners.experts(), "], expected [",
               chunks.layers, ", ", chunks.experts, "]");
}

OwnedChunk ExpertStore::chunk(int64_t layer, int64_t expert) const {
  const int64_t slot = slot_of_[static_cast<size_t>(layer * chunks_.experts + expert)];
  if (slot < 0) return {};
  const auto at = [&](const MemoryBlock& block, int64_t elements) {
    return reinterpret_cast<Real*>(block.data()) + slot * elements;
  };
  OwnedChunk chunk{.value = at(values_, chunks_.elements),
                   .gradient = at(gradients_, chunks_.elements),
                   .first_moment = at(first_, slice_.size()),
                   .second_moment = at(second_, slice_.size())};
  const bool all = share_.count == 1;
  chunk.own_value = all ? chunk.value : at(own_values_, slice_.size());
  chunk.own_gradient = all ? chunk.gradient : at(own_gradients_, slice_.size());
  return chunk;
}

Real* ExpertStore::gradient_slot(int64_t slot) const {
  HECATE_CHECK(slot >= 0 && slot < slots_, "expert store: slot ", slot, " of ", slots_);
  return reinterpret_cast<Real*>(gradients_.data()) + slot * chunks_.elements;
}

void ExpertStore::check_room(const Ownership& owners) const {
  check(chunks_, owners);
  const int64_t owned = owned_by(owners, rank_);
  HECATE_CHECK(owned <= slots_, "rank ", rank_, " would own ", owned, " experts, it has room for ",
               slots_);
}

void ExpertStore::change_owners(Ownership owners) {
  check_room(owners);
  std::vector<bool> used(static_cast<size_t>(slots_), false);
  std::vector<int64_t> slot_of(slot_of_.size(), -1);
  const auto index = [&](int64_t l, int64_t e) {
    return static_cast<size_t>(l * chunks_.experts + e);
  };
  const auto owned_then = [&](int64_t l, int64_t e) {
    return owners.owner(static_cast<int>(l), static_cast<int>(e)) == rank_;
  };
  for (int64_t l = 0; l < chunks_.layers; ++l)
    for (int64_t e = 0; e < chunks_.experts; ++e)
      if (owned_then(l, e) && owns(l, e)) {
        slot_of[index(l, e)] = slot_of_[index(l, e)];
        used[static_cast<size_t>(slot_of_[index(l, e)])] = true;
      }
  int64_t next = 0;
  for (int64_t l = 0; l < chunks_.layers; ++l)
    for (int64_t e = 0; e < chunks_.experts; ++e) {
      if (!owned_then(l, e) || owns(l, e)) continue;
      while (used[static_cast<size_t>(next)]) ++next;
      slot_of[index(l, e)] = next++;
    }
  slot_of_ = std::move(slot_of);
  owners_ = std::move(owners);
  ++epoch_;
}

}  // namespace hecate::sharding::exec
