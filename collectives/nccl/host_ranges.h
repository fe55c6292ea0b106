#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace hecate::collectives::nccl {

/// The host memory that an operation of the device uses, and where each part of it lies in one
/// block of device memory that stands in for it.
class HostRanges {
 public:
  struct Range {
    uintptr_t begin = 0, end = 0;
    std::byte* data() const { return reinterpret_cast<std::byte*>(begin); }
    size_t bytes() const { return end - begin; }
    bool operator==(const Range&) const = default;
  };

  /// Ranges may overlap. @param read it is copied in first. @param written it is copied out last.
  void add(const void* data, int64_t bytes, bool read, bool written);
  /// After the last add(): lays out the block.
  void finish();

  bool empty() const { return regions_.empty(); }
  /// What to copy in and out: rising, disjoint.
  std::span<const Range> reads() const { return reads_; }
  std::span<const Range> writes() const { return writes_; }
  /// Size of the block.
  int64_t bytes() const { return bytes_; }
  /// Where an address of an added range lies in the block; below zero for other addresses.
  /// Alignment up to 256 bytes is kept.
  int64_t offset_of(const void* address) const;

 private:
  std::vector<Range> reads_, writes_, regions_;
  std::vector<int64_t> offsets_;  // of regions
  int64_t bytes_ = 0;
};

}  // namespace hecate::collectives::nccl
