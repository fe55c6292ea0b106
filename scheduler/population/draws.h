#pragma once
#include <cstdint>

#include "runtime/base/rng.h"

namespace hecate::population {

/// The random numbers of one decision: a function of (seed, counter) and of how many were drawn
/// before, so that a decision can be taken again and comes out the same.
class Draws {
 public:
  Draws(uint64_t seed, uint64_t counter) : rng_(seed, stream_of("population") + counter) {}

  /// In [0, 1).
  double uniform() { return rng_.uniform(next_++); }
  double normal() { return rng_.normal(next_++); }
  /// In [0, bound), bound above 0.
  uint64_t below(uint64_t bound) { return rng_.below(next_++, bound); }

 private:
  CounterRng rng_;
  uint64_t next_ = 0;
};

}  // namespace hecate::population
