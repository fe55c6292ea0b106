#pragma once
#include <cstdint>
#include <span>

#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

/// Dense and grouped matrix products. Weights are stored [out, in], as PyTorch's Linear.
/// All are ordered on the stream, allocate nothing but the stream's scratch, and never alias
/// inputs with outputs. Views are row-major with a row stride.
/// @throws InvalidArgument where shapes differ.
namespace hecate::kernels {

enum class Transpose : uint8_t { no, yes };

/// c[M,N] = alpha * op(a) * op(b) + beta * c; beta == 0 never reads c.
/// op(a) is [M,K], op(b) is [K,N]. M, N or K may be 0.
void gemm(Stream& s, Transpose transpose_a, Transpose transpose_b, Real alpha, View<const Real> a,
          View<const Real> b, Real beta, View<Real> c);

/// y[T,N] = x[T,K] w[N,K]^T (+ y if accumulate).
void linear(Stream& s, View<const Real> x, View<const Real> w, View<Real> y,
            bool accumulate = false);
/// dx[T,K] = dy[T,N] w[N,K] (+ dx if accumulate).
void linear_backward_input(Stream& s, View<const Real> dy, View<const Real> w, View<Real> dx,
                           bool accumulate = false);
/// dw[N,K] = dy[T,N]^T x[T,K] (+ dw if accumulate).
void linear_backward_weight(Stream& s, View<const Real> dy, View<const Real> x, View<Real> dw,
                            bool accumulate);

/// One weight matrix [N,K] per expert of a group; data[e] may be null where expert e has no rows.
struct ExpertWeights {
  std::span<const Real* const> data;
  int64_t n = 0, k = 0;
};
struct ExpertGradients {
  std::span<Real* const> data;
  int64_t n = 0, k = 0;
};

/// Rows [offsets[e], offsets[e+1]) of x belong to expert e; offsets has experts + 1 entries, starts
/// at 0 and never falls; an expert may have no rows. y[r] = W_e x[r].  x [R,K], y [R,N].
void grouped_linear(Stream& s, View<const Real> x, std::span<const int64_t> offsets,
                    const ExpertWeights& w, View<Real> y);
/// dx[r] = W_e^T dy[r].
void grouped_linear_backward_input(Stream& s, View<const Real> dy, std::span<const int64_t> offsets,
                                   const ExpertWeights& w, View<Real> dx);
/// dW_e = sum over its rows dy[r] x[r]^T (+ dW_e if accumulate). Without accumulate an expert with
/// no rows gets zeros.
void grouped_linear_backward_weight(Stream& s, View<const Real> dy, View<const Real> x,
                                    std::span<const int64_t> offsets, const ExpertGradients& dw,
                                    bool accumulate);

}  // namespace hecate::kernels
