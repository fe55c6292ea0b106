#pragma once
#include <cstdint>

#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

/// Small dense helpers; every sum has a fixed order that does not depend on the thread count.
namespace hecate::kernels {

void fill(Stream& s, Real value, View<Real> x);
void copy(Stream& s, View<const Real> x, View<Real> y);
/// y += alpha * x.
void add(Stream& s, Real alpha, View<const Real> x, View<Real> y);
/// out = a + alpha * b; out may alias either.
void add_to(Stream& s, View<const Real> a, Real alpha, View<const Real> b, View<Real> out);
void scale(Stream& s, Real alpha, View<Real> x);
/// Sum of squares, accumulated in f64. A NaN or infinity in x gives a non-finite result.
double sum_of_squares(Stream& s, View<const Real> x);
/// Index of the first element that is NaN or infinite, or -1.
int64_t first_non_finite(Stream& s, View<const Real> x);

/// Inverted dropout: y = keep ? x / (1 - rate) : 0; keep is a pure function of (seed, stream,
/// first_row + row, column), so it does not depend on how rows are spread over ranks. The backward
/// is the same call on the gradient. y may alias x. 0 <= rate < 1.
void dropout(Stream& s, Real rate, uint64_t seed, uint64_t stream, int64_t first_row,
             View<const Real> x, View<Real> y);

/// out[t] = table[ids[t]] * factor; ids in [0, V). table [V,D], out [T,D].
void embedding(Stream& s, View<const int32_t> ids, View<const Real> table, Real factor,
               View<Real> out);
/// dtable[ids[t]] += factor * dy[t], rows added in token order.
void embedding_backward(Stream& s, View<const int32_t> ids, View<const Real> dy, Real factor,
                        View<Real> dtable);

}  // namespace hecate::kernels
