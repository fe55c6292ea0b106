#pragma once
#include <cstdint>
#include <span>

#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

/// Top-k gates of mixture-of-experts layers.
namespace hecate::kernels {

enum class Gate : uint8_t {
  softmax,               ///< softmax over all experts, top-k; weights are the probabilities
  softmax_renormalized,  ///< the same, the k weights divided by their sum
  gshard,        ///< top-2 renormalised, balance loss on the first choice (arXiv:2006.16668)
  switch_top1,   ///< top-1 with its probability, balance loss (arXiv:2101.03961)
  sigmoid_bias,  ///< sigmoid scores; chosen by score + bias, weighted by renormalised score
                 ///< (arXiv:2408.15664, arXiv:2412.19437)
};

/// Choice of experts. logits [T,E]; probabilities [T,E] (softmax or sigmoid) kept for backward;
/// experts [T,K] by falling selection score (the logit; the score + bias for sigmoid_bias), equal
/// ones lower index first; weights [T,K]. Renormalised softmax weights are a softmax over the
/// chosen logits, finite however unlikely the chosen are.
/// @param bias [E] for sigmoid_bias, else empty: added for the choice only.
/// @throws InvalidArgument if K > E or shapes differ.
void route(Stream& s, Gate gate, View<const Real> logits, View<const Real> bias,
           View<Real> probabilities, View<int32_t> experts, View<Real> weights);

/// The same weights for experts that are given (replayed or forced routing); an entry
/// -1 - expert counts as that expert, here and in route_backward.
/// @throws InvalidArgument for an unknown expert.
void route_given(Stream& s, Gate gate, View<const Real> logits, View<const int32_t> experts,
                 View<Real> probabilities, View<Real> weights);

/// dlogits (written) from dweights [T,K].
/// @param dprobabilities [E] or [T,E] or empty: an additional gradient on the probabilities, e.g.
///   the balance loss's; a vector is the same for every token.
/// @param z_scale adds the gradient of z_scale * sum_t logsumexp(logits[t])^2
///   (router z-loss, arXiv:2202.08906, Eq. 5).
void route_backward(Stream& s, Gate gate, View<const Real> logits, View<const Real> probabilities,
                    View<const int32_t> experts, View<const Real> dweights,
                    View<const Real> dprobabilities, Real z_scale, View<Real> dlogits);

/// Column sums of probabilities over rows [T,E] -> sums [E] (written), fixed order, and the sum of
/// squared log-sum-exp of the logits (returned).
double router_statistics(Stream& s, View<const Real> logits, View<const Real> probabilities,
                         View<Real> sums);

/// Multiplies logits by uniform noise in [1 - amount, 1 + amount], a pure function of
/// (seed, stream, first_row + row, expert).
void router_jitter(Stream& s, Real amount, uint64_t seed, uint64_t stream, int64_t first_row,
                   View<Real> logits);

/// Counts per expert of the chosen [T,K]; negative entries (dropped) are not counted. counts [E].
void count_experts(Stream& s, View<const int32_t> experts, std::span<int64_t> counts);

/// Marks every choice beyond `capacity` of its expert as dropped: experts[t,k] becomes
/// -1 - expert. Entries that are already dropped stay. Choices are taken in token order, inside a
/// token by k, so that micro-batches and ranks that hold consecutive tokens drop what one process
/// would drop.
/// @param taken [E] choices that earlier tokens of the step took; raised by those kept here.
/// @return how many were dropped.
int64_t drop_over_capacity(Stream& s, int64_t capacity, std::span<int64_t> taken,
                           View<int32_t> experts);

}  // namespace hecate::kernels
