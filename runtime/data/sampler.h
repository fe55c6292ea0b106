#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/rng.h"

/// Which tokens a sample takes, as functions of (seed, index) alone: no state, no memory that grows
/// with the data.
namespace hecate::data {

/// A pseudo-random permutation of [0, size): a Feistel network over the next even number of bits,
/// repeated until the value lies inside (Black & Rogaway 2002, "Ciphers with arbitrary finite
/// domains").
class Permutation {
 public:
  /// @param size at least 1, at most 2^62.
  Permutation(uint64_t key, uint64_t size);
  /// @param index below size.
  uint64_t operator()(uint64_t index) const;

 private:
  uint64_t key_, size_;
  int half_bits_ = 1;
};

/// Windows of `sequence` + 1 consecutive tokens of one source.
///
/// An epoch lays windows() windows side by side behind a random phase (a new one each epoch, below
/// 2 * sequence; so every token but the first is a target sooner or later) and visits them in a
/// fresh random order. With `share` below 1 it visits
/// only the first share of that order: repeated random subsets, "RS2" (Okanovic et al. 2023,
/// arXiv:2305.18424), a fresh subset without replacement per epoch.
class WindowSampler {
 public:
  /// @param stream separates the sources of a mixture. @param share in (0, 1].
  /// @throws InvalidArgument if the source has fewer than sequence + 1 tokens.
  WindowSampler(uint64_t tokens, int64_t sequence, double share, uint64_t seed, uint64_t stream);

  /// First token of sample `index`; the sample's last target is at first(index) + sequence.
  uint64_t first(uint64_t index) const;
  /// Samples per epoch: at least 1.
  uint64_t epoch_size() const { return epoch_size_; }
  uint64_t windows() const { return windows_; }

 private:
  uint64_t sequence_, windows_, phases_, epoch_size_;
  CounterRng rng_;
};

/// Shares sample indices among weighted sources by a scrambled van der Corput sequence: after n
/// samples each source has had weight * n, give or take log2(n) + 1, and in each aligned block of
/// 2^32 exactly its share (rounded to 2^-32).
class MixtureSchedule {
 public:
  struct Draw {
    size_t source = 0;
    uint64_t index = 0;  ///< how many earlier samples took this source
  };

  /// @throws InvalidArgument unless every weight is above 0 and at least 2^-31 of their sum.
  MixtureSchedule(std::span<const double> weights, uint64_t seed);
  Draw operator()(uint64_t index) const;

 private:
  std::vector<uint64_t> bounds_;  ///< source s owns values in [bounds_[s], bounds_[s + 1])
  uint32_t scramble_;
};

}  // namespace hecate::data
