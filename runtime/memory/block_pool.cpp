#include "runtime/memory/block_pool.h"

#include <algorithm>
#include <bit>

#include "runtime/base/error.h"
#include "runtime/memory/aligned.h"

namespace hecate {
namespace {

int64_t rounded(int64_t bytes) {
  const auto aligned =
      static_cast<uint64_t>(align_up(static_cast<size_t>(std::max<int64_t>(bytes, 1))));
  const uint64_t grain = std::max<uint64_t>(std::bit_floor(aligned) / 8, kAlignment);
  return static_cast<int64_t>((aligned + grain - 1) / grain * grain);
}

}  // namespace

std::byte* BlockPool::take(Slot& slot) {
  slot.used = true;
  used_bytes_ += slot.block.bytes();
  peak_used_bytes_ = std::max(peak_used_bytes_, used_bytes_);
  return slot.block.data();
}

std::byte* BlockPool::acquire(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  Slot* best = nullptr;
  for (Slot& slot : slots_)
    if (!slot.used && slot.block.bytes() >= bytes &&
        (best == nullptr || slot.block.bytes() < best->block.bytes()))
      best = &slot;
  if (best != nullptr) return take(*best);
  // A free block that is too small is replaced instead of kept beside the larger one.
  for (Slot& slot : slots_)
    if (!slot.used && (best == nullptr || slot.block.bytes() > best->block.bytes())) best = &slot;
  ++growths_;
  if (best == nullptr) best = &slots_.emplace_back();
  best->block = MemoryBlock();
  best->block = MemoryBlock(*ledger_, category_, rounded(bytes));
  return take(*best);
}

void BlockPool::release(std::byte* block) {
  const std::lock_guard lock(mutex_);
  for (Slot& slot : slots_) {
    if (!slot.used || slot.block.data() != block) continue;
    slot.used = false;
    used_bytes_ -= slot.block.bytes();
    return;
  }
  throw InvalidArgument("BlockPool::release: the block is not in use here");
}

int64_t BlockPool::growths() const {
  const std::lock_guard lock(mutex_);
  return growths_;
}

int64_t BlockPool::held_bytes() const {
  const std::lock_guard lock(mutex_);
  int64_t held = 0;
  for (const Slot& slot : slots_) held += slot.block.bytes();
  return held;
}

int64_t BlockPool::peak_used_bytes() const {
  const std::lock_guard lock(mutex_);
  return peak_used_bytes_;
}

}  // namespace hecate
