#pragma once
#include <cstdint>
#include <span>

#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

/// Sorting tokens by expert and back. Inside an expert rows keep token order (then k), which every
/// rank count reproduces.
namespace hecate::kernels {

/// From experts [T,K] (negative = dropped): offsets [E+1] (offsets[0] = 0), row_of [T,K] (row of
/// that choice, -1 if dropped), choice_of [>= rows] (t*K + k of each row).
/// @return rows = offsets[E].
int64_t plan_permutation(Stream& s, View<const int32_t> experts, std::span<int64_t> offsets,
                         View<int32_t> row_of, View<int32_t> choice_of);

/// rows[r] = x[choice_of[r] / K]; x [T,D], rows [R,D].
void permute(Stream& s, View<const Real> x, int64_t top_k, View<const int32_t> choice_of,
             View<Real> rows);
/// dx[t] = sum over k of drows[row_of[t,k]] (+ dx if accumulate), dropped choices add nothing.
void permute_backward(Stream& s, View<const Real> drows, View<const int32_t> row_of, View<Real> dx,
                      bool accumulate);

/// y[t] = sum over k of weights[t,k] * rows[row_of[t,k]] (+ y if accumulate).
void unpermute(Stream& s, View<const Real> rows, View<const int32_t> row_of,
               View<const Real> weights, View<Real> y, bool accumulate);
/// drows[r] = weight * dy[t]; dweights[t,k] = dy[t] . rows[row_of[t,k]] (0 where dropped).
/// drows may alias rows.
void unpermute_backward(Stream& s, View<const Real> dy, View<const Real> rows,
                        View<const int32_t> row_of, View<const int32_t> choice_of,
                        View<const Real> weights, View<Real> drows, View<Real> dweights);

}  // namespace hecate::kernels
