#pragma once
#include <algorithm>
#include <cstdint>

namespace hecate::sharding::exec {

/// Elements [begin, end) of an array.
struct ElementRange {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
  bool operator==(const ElementRange&) const = default;
};

/// Part `index` of `count` of a range: as even as parts that begin at multiples of a vector of 16
/// elements (from the range's begin) can be.
inline ElementRange part_of(const ElementRange& whole, int index, int count) {
  constexpr int64_t kGrain = 16;
  const int64_t grains = (whole.size() + kGrain - 1) / kGrain;
  const auto border = [&](int64_t position) {
    return std::min(whole.end, whole.begin + grains * position / count * kGrain);
  };
  return {border(index), border(index + 1)};
}

}  // namespace hecate::sharding::exec
