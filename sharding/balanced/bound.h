#pragma once
#include "sharding/balanced/problem.h"

namespace hecate::sharding::balanced {

/// What no plan of a layer can beat.
struct Bound {
  double seconds = 0;  ///< modelled time
  int64_t rows = 0;    ///< of the busiest device
  int chunks = 0;      ///< k of the proof at which the bound on time is least
};

/// Lower bounds from what the nodes send.
///
/// Claim. Let a placement keep the owners and add at most m = problem.slots copies per device, and
/// let every row be computed by a holder of its expert. Then its modelled time is not below
/// `seconds` and its busiest device has no fewer than `rows` rows.
/// Proof. Let x be the rows of the busiest device and k the most experts that a node holds without
/// owning them.
/// 1. Rows. All rows lie on D devices and those of expert e, L_e, on at most D: x >= rows / D and
///    x >= L_e / D. Expert e has at least ceil(L_e / x) holders and its owner, and there are at
///    most E + m D holders: sum_e max(1, ceil(L_e / x)) <= E + m D. Let x0 be the smallest x that
///    all three allow; x >= x0 = `rows`.
/// 2. Links. Node n, of |n| devices, sends R_e rows to expert e. With h_e holders of e on the node,
///    at most min(R_e, h_e x) stay: that is min(R_e, x) for the first holder, x more for each one
///    after it, the rest of R_e for the last: increments that never grow. The node has one
///    holder of each of its own experts and m |n| more, which copy its own experts or at most k
///    others. What stays is hence at most the first increments of its own experts and the m |n|
///    largest of the others, of its own and of the k others with most rows (an expert with more
///    rows has no smaller increment at any place, so other k are no better). At most x |n| rows
///    stay, too. The rest, o_n(k, x) rows, leaves, and o_n does not rise with k or x. An exchange
///    takes the busiest link's latency and bytes.
///    Where the devices' own counts are known, ports add to that: device d keeps at most its rows
///    to the experts that it owns and to m others. Let I_n be all rows of n less what its devices
///    can keep. With y rows leaving, the ports of n pass I_n - y or more, the busiest one a |n|-th
///    of them. Of link and port the slower counts, so an exchange takes at least the least time
///    over the y that are possible: y = 0, if o_n(k, x) = 0, and y >= o_n(k, x), where the link
///    slows down and the ports speed up with y.
/// 3. Collectives. A node that holds k experts without owning them gets k chunks over its link. For
///    k > 0 the gather takes latency + k chunks / bandwidth or more, and so does the reduction, its
///    mirror; what is more than the hidden seconds is exposed.
/// So the time is at least T(k, x) = x * seconds_per_row + exchanges * exchange(max_n o_n(k, x)) +
/// exposed(k) for its own k and x >= x0, and the least T of all is a bound. For a <= x <= b,
/// T(k, x) >= a * seconds_per_row + exchanges * exchange(max_n o_n(k, b)) + exposed(k): the ranges
/// of x are halved, the one with the least such value first, until that one is within kRangeShare
/// of a point or kRanges were looked at; its value is not above the least T.
Bound lower_bound(const Problem& problem);

/// The same whatever the owners, as many on each node as now: in step 2 the node's places, those of
/// its own experts included, take the largest increments of its (owned + k) experts with most rows.
double lower_bound_any_owner(const Problem& problem);

inline constexpr int kRanges = 48;
inline constexpr double kRangeShare = 1e-3;

}  // namespace hecate::sharding::balanced
