#pragma once
#include <cstdint>
#include <mutex>
#include <vector>

#include "runtime/memory/ledger.h"

namespace hecate {

/// Blocks whose size is known only while a step runs (rows of dropless experts). A released block
/// is kept and reused by the smallest fit; memory is asked for only when no free block is large
/// enough, which is counted. Sizes are rounded up to 1/8 of their power of two, so that rising row
/// counts soon find a fit. Thread-safe.
class BlockPool {
 public:
  BlockPool(MemoryLedger& ledger, MemoryCategory category)
      : ledger_(&ledger), category_(category) {}

  /// 64-byte aligned; not initialised. @throws DeviceError when memory or the budget is exhausted.
  std::byte* acquire(int64_t bytes);
  /// @param block from acquire() of this pool.
  void release(std::byte* block);

  /// How often memory was asked for.
  int64_t growths() const;
  /// Bytes held, in use or not.
  int64_t held_bytes() const;
  /// The most bytes in use at a time.
  int64_t peak_used_bytes() const;

 private:
  struct Slot {
    MemoryBlock block;
    bool used = false;
  };

  std::byte* take(Slot& slot);

  mutable std::mutex mutex_;
  MemoryLedger* ledger_;
  MemoryCategory category_;
  std::vector<Slot> slots_;
  int64_t growths_ = 0, used_bytes_ = 0, peak_used_bytes_ = 0;
};

}  // namespace hecate
