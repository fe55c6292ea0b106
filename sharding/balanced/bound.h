#pragma once
#include "sharding/balanced/problem.h"

namespace hecate::sharding::balanced {

/// What no plan of a layer can beat.
struct Bound {
  double seconds = 0;            ///< modelled time, whatever copies and split, with these owners
  double seconds_any_owner = 0;  ///< the same with any owners, as many on each node as now
  int64_t rows = 0;              ///< of the busiest device, whatever owners, copies and split
};

/// Lower bounds from what the nodes send (objective time and balance).
///
/// Claim. Let every placement keep the owners and add at most m = problem.slots copies per device,
/// and every row be computed by a holder of its expert. Then no modelled time is below `seconds`.
/// Proof. Let a plan be given, x the rows of its busiest device, and k the most experts that some
/// node holds without owning them.
/// 1. Rows. All rows lie on D devices, so x >= rows / D. Expert e with L_e rows has at least
///    ceil(L_e / x) holders, and at least its owner; holders number at most E + m D and at most D
///    per expert. x is hence at least the smallest x0 with sum_e max(1, ceil(L_e / x0)) <= E + m D
///    and x0 >= L_e / D. Compute takes x0 * seconds_per_row or more: the bound's first term.
/// 2. Links. Node n computes without a crossing only rows of experts that it holds: those that it
///    owns and at most k others. At least o_n(k) rows leave it: all that it sends, less those to
///    its own experts, less the k largest of the others. An exchange takes the busiest link's
///    latency and bytes, so at least max_n o_n(k) rows of them.
/// 3. Collectives. A node that holds k experts without owning them gets k chunks over its link.
/// With
///    k > 0 the gather takes latency + k chunks / bandwidth or more, and the reduction, its mirror,
///    likewise; what is more than the hidden seconds is exposed.
/// The terms of 2 and 3 depend on the plan through k alone, so their sum is at least its minimum
/// over k = 0 .. min(E, m * devices of the largest node): the bound's second term. The terms of 1
/// and of 2 and 3 add up in the modelled time, so the bound is their sum. With other owners, as
/// many per node, 2 holds with o_n(k) = all rows less the (owned + k) largest; 1 and 3 do not
/// change. Costs O(E log(rows) + nodes * E log E).
Bound lower_bound(const Problem& problem);

/// The k of step 3 at which the bound is least: how many experts it would bring into every node.
int bound_chunks(const Problem& problem);

}  // namespace hecate::sharding::balanced
