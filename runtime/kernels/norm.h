#pragma once
#include <cstdint>

#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

/// Normalisation over the last dimension N. Views are [T,N] or [T,G,N] (G groups a row, e.g. the
/// heads of q-k norm), with a row stride; gamma and beta are [N] (shared by the groups).
/// Gradients of gamma and beta are summed over fixed blocks of rows, then block by block, so no
/// result depends on the thread count.
/// @throws InvalidArgument where shapes differ.
namespace hecate::kernels {

/// y = x / sqrt(mean(x^2) + eps) * gamma; rstd [T] or [T*G] is kept for backward. y may alias x.
/// Source: Zhang & Sennrich 2019, arXiv:1910.07467, Eq. 4.
void rms_norm(Stream& s, View<const Real> x, View<const Real> gamma, Real eps, View<Real> y,
              View<Real> rstd);
/// dx = gradient (+ dx if accumulate); dgamma += its gradient. dx may alias dy.
void rms_norm_backward(Stream& s, View<const Real> x, View<const Real> gamma, View<const Real> rstd,
                       View<const Real> dy, View<Real> dx, bool accumulate, View<Real> dgamma);

/// y = (x - mean) * rstd * gamma + beta, population variance. y may alias x.
/// Source: Ba et al. 2016, arXiv:1607.06450, Eq. 4.
void layer_norm(Stream& s, View<const Real> x, View<const Real> gamma, View<const Real> beta,
                Real eps, View<Real> y, View<Real> mean, View<Real> rstd);
void layer_norm_backward(Stream& s, View<const Real> x, View<const Real> gamma,
                         View<const Real> mean, View<const Real> rstd, View<const Real> dy,
                         View<Real> dx, bool accumulate, View<Real> dgamma, View<Real> dbeta);

}  // namespace hecate::kernels
