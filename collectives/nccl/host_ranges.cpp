#include "collectives/nccl/host_ranges.h"

#include <algorithm>

namespace hecate::collectives::nccl {
namespace {

constexpr uintptr_t kAlignment = 256;

std::vector<HostRanges::Range> merged(std::vector<HostRanges::Range> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const auto& a, const auto& b) { return a.begin < b.begin; });
  std::vector<HostRanges::Range> result;
  for (const auto& range : ranges) {
    if (!result.empty() && range.begin <= result.back().end) {
      result.back().end = std::max(result.back().end, range.end);
    } else {
      result.push_back(range);
    }
  }
  return result;
}

}  // namespace

void HostRanges::add(const void* data, int64_t bytes, bool read, bool written) {
  if (bytes <= 0) return;
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const Range range{.begin = begin, .end = begin + static_cast<uintptr_t>(bytes)};
  if (read) reads_.push_back(range);
  if (written) writes_.push_back(range);
  regions_.push_back(range);
}

void HostRanges::finish() {
  reads_ = merged(std::move(reads_));
  writes_ = merged(std::move(writes_));
  regions_ = merged(std::move(regions_));
  offsets_.clear();
  bytes_ = 0;
  for (const Range& region : regions_) {
    bytes_ += static_cast<int64_t>(region.begin % kAlignment);
    offsets_.push_back(bytes_);
    bytes_ += static_cast<int64_t>(region.bytes());
    bytes_ = static_cast<int64_t>((static_cast<uintptr_t>(bytes_) + kAlignment - 1) / kAlignment *
                                  kAlignment);
  }
}

int64_t HostRanges::offset_of(const void* address) const {
  const auto at = reinterpret_cast<uintptr_t>(address);
  const auto after = std::upper_bound(regions_.begin(), regions_.end(), at,
                                      [](uintptr_t a, const Range& r) { return a < r.begin; });
  if (after == regions_.begin()) return -1;
  const auto region = after - 1;
  if (at >= region->end) return -1;
  return offsets_[static_cast<size_t>(region - regions_.begin())] +
         static_cast<int64_t>(at - region->begin);
}

}  // namespace hecate::collectives::nccl
