#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "runtime/memory/device_kind.h"

namespace hecate {

/// What device memory is for; peaks are kept, reported, predicted and budgeted by category.
enum class MemoryCategory : uint8_t {
  parameters,
  gradients,
  optimizer,
  materialized,
  activations,
  buffers,
  communicator,
};
inline constexpr size_t kMemoryCategories = 7;
std::string_view name_of(MemoryCategory category);

using MemoryBytes = std::array<int64_t, kMemoryCategories>;
int64_t total(const MemoryBytes& bytes);

/// Counts the bytes of one rank's device. Thread-safe, lock-free.
class MemoryLedger {
 public:
  /// @param budget_bytes of all categories together; 0 = unlimited.
  /// @param dry blocks are counted but have no memory: for predictions.
  /// @param device whose memory blocks are; of CUDA, memory that the host can address too.
  explicit MemoryLedger(int64_t budget_bytes = 0, bool dry = false,
                        DeviceKind device = DeviceKind::cpu)
      : budget_(budget_bytes), dry_(dry), device_(device) {}
  MemoryLedger(const MemoryLedger&) = delete;
  MemoryLedger& operator=(const MemoryLedger&) = delete;

  /// @throws DeviceError when the budget would be passed, naming category, bytes and budget;
  ///   nothing is charged then.
  void charge(MemoryCategory category, int64_t bytes);
  void release(MemoryCategory category, int64_t bytes) noexcept;

  MemoryBytes current() const;
  /// Peak of each category by itself.
  MemoryBytes peak() const;
  /// Peak of the sum over categories.
  int64_t peak_total() const { return peak_total_.load(std::memory_order_relaxed); }
  /// Number of charges so far: constant over a step that allocates nothing.
  int64_t charges() const { return charges_.load(std::memory_order_relaxed); }
  int64_t budget() const { return budget_; }
  bool dry() const { return dry_; }
  DeviceKind device() const { return device_; }

 private:
  std::array<std::atomic<int64_t>, kMemoryCategories> current_{};
  std::array<std::atomic<int64_t>, kMemoryCategories> peak_{};
  std::atomic<int64_t> total_{0}, peak_total_{0}, charges_{0};
  int64_t budget_;
  bool dry_;
  DeviceKind device_;
};

/// One aligned block charged to a ledger; move-only owner. Not initialised. Of a dry ledger: only
/// addresses, which must not be touched.
class MemoryBlock {
 public:
  MemoryBlock() = default;
  MemoryBlock(MemoryLedger& ledger, MemoryCategory category, int64_t bytes);
  ~MemoryBlock();
  MemoryBlock(MemoryBlock&& other) noexcept;
  MemoryBlock& operator=(MemoryBlock&& other) noexcept;

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  /// Sets every byte to zero; nothing in a dry ledger.
  void clear();

 private:
  void reset() noexcept;

  MemoryLedger* ledger_ = nullptr;
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
  MemoryCategory category_ = MemoryCategory::buffers;
};

}  // namespace hecate
