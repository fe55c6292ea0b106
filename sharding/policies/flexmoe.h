#pragma once
#include <cstdint>
#include <span>

#include "sharding/cost.h"
#include "sharding/expert_copies.h"

namespace hecate::sharding {

struct FlexMoeLimits {
  double threshold = 1.2;  ///< busiest device's tokens over the mean that are let be
  int rounds = 10;         ///< of expanding one expert and shrinking another
  int swaps = 10;          ///< of vExperts between devices afterwards
};

/// FlexMoE's rearrangement of one layer (Nie et al., SIGMOD 2023, arXiv:2304.03946). Tokens of an
/// expert are split evenly over its vExperts (slots); the cost of a placement is, of the device
/// with most, the sum over its experts of compute, exchange of their tokens and, where an expert is
/// on several devices, the all-reduce of its gradients.
/// 1. Nothing changes while the busiest device has at most `threshold` times the mean of tokens.
/// 2. The expert with most tokens per vExpert takes a slot of the one with least (of those with
///    two or more), on the device where the cost is then least; kept if the cost falls, else this
///    ends.
/// 3. For each expert on several nodes, the vExpert swap between a device on its least and one on
///    its most populated node that makes all-reduces cheapest, of those that do not raise the cost;
///    while that gains anything.
/// Ties: lower indices.
/// @param loads [devices, experts] by source. @throws InvalidArgument when sizes disagree.
ExpertCopies flexmoe(const ExpertCopies& present, std::span<const double> loads,
                     const LayerCost& cost, const FlexMoeLimits& limits);

/// The modelled cost above, in seconds, and its parts.
struct FlexMoeCost {
  double seconds = 0;        ///< of the most loaded device
  double sync_seconds = 0;   ///< of all experts' all-reduces together
  double max_over_mean = 0;  ///< tokens
};
FlexMoeCost flexmoe_cost(const ExpertCopies& copies, std::span<const double> loads,
                         const LayerCost& cost);

}  // namespace hecate::sharding
