#pragma once
#include <cstdint>

#include "collectives/topology.h"

namespace hecate::sharding {

/// What the overlap degree follows from. Measured once per run and agreed by all ranks.
struct OverlapInputs {
  collectives::Topology topology;
  double forward_seconds = 0;   ///< non-MoE compute between two layers' experts, forward
  double backward_seconds = 0;  ///< the same, backward
  double gather_bytes = 0;      ///< one expert's parameters on the wire
  double reduce_bytes = 0;      ///< one expert's gradients on the wire
  double dense_share = 0;       ///< share of every link that dense traffic takes meanwhile, [0, 1)
  bool gathers_in_backward = false;  ///< parameters were released after forward (fssdp-rm)
};

/// Seconds to two significant digits, links to three, the share to hundredths: plans do not follow
/// the noise of measurement.
OverlapInputs quantised(OverlapInputs inputs);

/// To two significant digits; 0 for what is not positive.
double two_digits(double value);

/// How many experts' collectives fit under the non-MoE compute, forward and backward apart.
struct OverlapDegree {
  int forward = 0, backward = 0;
  /// What both directions hide: the t of the planners.
  int t() const { return forward < backward ? forward : backward; }
};

/// The paper's t = floor(T * bandwidth / bytes) (arXiv 2502.02581, section 4.3), for the gather in
/// forward and for the reduction (with `gathers_in_backward` the gather, too) in backward. Each hot
/// expert leaves its owner's node once and enters every other node once, relays sharing the rest:
/// the busiest link carries up to t experts, and so does the busiest port inside a node. The
/// slower of the two kinds that the topology uses counts, less the dense share. From 0 to
/// `experts`; all of them where nothing has to move.
/// @throws InvalidArgument for negative times or bytes, or a share outside [0, 1).
OverlapDegree overlap_degree(const OverlapInputs& inputs, int experts);

/// Memory of one device for materialized experts.
struct CapacityInputs {
  int64_t budget_bytes = 0;
  int64_t fixed_bytes = 0;            ///< everything but materialized copies, at its peak
  int64_t parameter_chunk_bytes = 0;  ///< one materialized expert
  int64_t gradient_chunk_bytes = 0;   ///< one copy's gradients
  int layers = 0;
  int experts = 0;          ///< of a layer
  bool release = false;     ///< after each forward, and gathered again for backward
  int prefetch_depth = 1;   ///< layers gathered ahead of use, with `release`
  int reduce_depth = 1;     ///< layers whose reduction may still run behind backward
  bool accumulate = false;  ///< gradients wait for the last micro-batch (keep only)

  /// Layers whose materialized parameters exist at once: all, or 1 + prefetch_depth.
  int parameter_layers() const;
  /// Layers whose copies' gradients exist at once: all, or 1 + reduce_depth.
  int gradient_layers() const;
  /// What m extra copies per layer take.
  int64_t bytes(int m) const;
};

/// The m of the planners: the most extra copies per layer (up to `experts`) that fit the budget.
/// @throws InvalidArgument when not even the fixed part fits: how many bytes are missing, and what
///   would fit.
int memory_capacity(const CapacityInputs& inputs);

/// @throws InvalidArgument when m copies per layer do not fit: how many bytes are missing, which m
///   fits and which budget would do.
void check_capacity(const CapacityInputs& inputs, int m);

}  // namespace hecate::sharding
