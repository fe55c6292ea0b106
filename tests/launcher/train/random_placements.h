#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/rng.h"
#include "sharding/strategy.h"
#include "tests/launcher/train/rank_comparison.h"

namespace hecate::launcher {

/// Uniform numbers in an order of their own.
class Draws {
 public:
  Draws(uint64_t seed, const char* purpose) : rng_(seed, stream_of(purpose)) {}
  /// 0 .. bound - 1.
  int below(int bound) {
    return static_cast<int>(rng_.below(next_++, static_cast<uint64_t>(bound)));
  }
  template <class T>
  const T& among(const std::vector<T>& values) {
    return values[static_cast<size_t>(below(static_cast<int>(values.size())))];
  }

 private:
  CounterRng rng_;
  uint64_t next_ = 0;
};

/// Any owners that make equal shares over all layers, any copies; both change with the steps, by
/// no rule but the seed: what a planner could come up with, good or bad.
class RandomPlacements final : public sharding::Strategy {
 public:
  RandomPlacements(sharding::StrategyInputs inputs, uint64_t seed, bool release);

  std::string_view name() const override { return "random"; }
  sharding::Ownership initial_owners() const override { return draw_owners(0); }
  std::vector<collectives::Placement> plan_step(const sharding::Ownership& owners,
                                                const sharding::LoadTracker& loads) override;
  int slots() const override { return inputs().experts; }
  bool releases_after_forward() const override { return release_; }
  /// Not after every third step, so that gradients can be looked at where they were made.
  bool moves_owners(int64_t step) const override { return step % 3 != 0; }
  std::optional<sharding::Ownership> next_owners(int64_t step, const sharding::Ownership& owners,
                                                 const sharding::LoadTracker& loads) override;
  std::vector<int> dispatch_groups() const override;

 private:
  sharding::Ownership draw_owners(int64_t step) const;

  uint64_t seed_;
  bool release_;
  int64_t step_ = 0;
};

/// A run with random placements, and what else can be combined with them.
struct RandomRun {
  explicit RandomRun(uint64_t seed);

  uint64_t seed;
  bool release;
  int experts, layers;
  RankCase test;
  /// What one process needs to know of it; equal settings train equally.
  std::vector<std::string> model;
};

}  // namespace hecate::launcher
