#include "runtime/data/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "runtime/base/error.h"

namespace hecate::data {
namespace {

constexpr int kRounds = 8;
constexpr uint64_t kSlots = uint64_t{1} << 32;

uint32_t reverse_bits(uint32_t value) {
  uint32_t result = 0;
  for (int bit = 0; bit < 32; ++bit) result |= ((value >> bit) & 1u) << (31 - bit);
  return result;
}

/// How many i < n, n <= 2^32, have (reversed i) ^ scramble < bound: n falls into blocks of 2^b
/// indices, and within one the values are evenly spaced by 2^(32-b).
uint64_t count_below(uint64_t n, uint32_t scramble, uint64_t bound) {
  uint64_t count = 0;
  for (int bit = 0; bit <= 32; ++bit) {
    if (((n >> bit) & 1) == 0) continue;
    const uint64_t block = (n >> (bit + 1)) << (bit + 1);
    const uint64_t spacing = kSlots >> bit;
    const uint64_t first = (reverse_bits(static_cast<uint32_t>(block)) ^ scramble) & (spacing - 1);
    if (bound > first) count += (bound - first + spacing - 1) / spacing;
  }
  return count;
}

}  // namespace

Permutation::Permutation(uint64_t key, uint64_t size) : key_(key), size_(size) {
  HECATE_CHECK(size >= 1 && size <= uint64_t{1} << 62, "permutation of ", size, " values");
  half_bits_ = std::max(1, (static_cast<int>(std::bit_width(size - 1)) + 1) / 2);
}

uint64_t Permutation::operator()(uint64_t index) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  do {
    uint64_t left = index >> half_bits_, right = index & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t next = left ^ (CounterRng(key_, round).bits(right) & mask);
      left = right;
      right = next;
    }
    index = (left << half_bits_) | right;
  } while (index >= size_);
  return index;
}

WindowSampler::WindowSampler(uint64_t tokens, int64_t sequence, double share, uint64_t seed,
                             uint64_t stream)
    : sequence_(static_cast<uint64_t>(sequence)), rng_(seed, stream) {
  HECATE_CHECK(sequence >= 1, "sampler: sequence of ", sequence, " tokens");
  HECATE_CHECK(share > 0 && share <= 1, "sampler: share ", share, " is outside (0, 1]");
  HECATE_CHECK(tokens > sequence_, tokens, " tokens are shorter than one sequence: a sample takes ",
               sequence_ + 1);
  // One window less than fits leaves room for phases that reach the last token too.
  windows_ = std::max<uint64_t>(1, (tokens - 1) / sequence_ - 1);
  phases_ = tokens - windows_ * sequence_;
  epoch_size_ = std::max<uint64_t>(
      1, static_cast<uint64_t>(std::llround(share * static_cast<double>(windows_))));
}

uint64_t WindowSampler::first(uint64_t index) const {
  const uint64_t epoch = index / epoch_size_;
  const Permutation order(rng_.bits(2 * epoch), windows_);
  const uint64_t phase = rng_.below(2 * epoch + 1, phases_);
  return phase + order(index % epoch_size_) * sequence_;
}

MixtureSchedule::MixtureSchedule(std::span<const double> weights, uint64_t seed)
    : scramble_(static_cast<uint32_t>(CounterRng(seed, stream_of("data.mixture")).bits(0))) {
  double sum = 0;
  for (const double weight : weights) {
    HECATE_CHECK(std::isfinite(weight) && weight > 0, "mixture: weight ", weight,
                 " must be above 0");
    sum += weight;
  }
  double before = 0;
  for (const double weight : weights) {
    HECATE_CHECK(weight >= sum * 0x1p-31, "mixture: weight ", weight, " is too small beside ", sum);
    bounds_.push_back(static_cast<uint64_t>(std::llround(before / sum * 0x1p32)));
    before += weight;
  }
  HECATE_CHECK(!bounds_.empty(), "mixture: no sources");
  bounds_.push_back(kSlots);
}

MixtureSchedule::Draw MixtureSchedule::operator()(uint64_t index) const {
  const uint64_t block = index / kSlots, within = index % kSlots;
  const uint64_t value = reverse_bits(static_cast<uint32_t>(within)) ^ scramble_;
  const auto owner = std::upper_bound(bounds_.begin(), bounds_.end(), value) - 1;
  const uint64_t low = *owner, high = *(owner + 1);
  return {static_cast<size_t>(owner - bounds_.begin()), block * (high - low) +
                                                            count_below(within, scramble_, high) -
                                                            count_below(within, scramble_, low)};
}

}  // namespace hecate::data
