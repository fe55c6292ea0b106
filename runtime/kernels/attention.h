#pragma once
#include <cstdint>

#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

/// Exact attention by tiles with a running softmax; no T x T matrix exists in memory.
/// Source: Dao et al. 2022, arXiv:2205.14135, algorithms 1 and 4 (recomputed by row statistics).
namespace hecate::kernels {

struct AttentionShape {
  int64_t sequence = 0;  ///< tokens per sequence; T is a multiple of it
  bool causal = true;    ///< token i sees j <= i of its sequence; otherwise all of it
  Real scale = 1;        ///< multiplies q.k
};

/// q [T,H,Nq], k [T,G,Nq], v [T,G,Nv], out [T,H,Nv]; row strides allowed; H is a multiple of G and
/// query head h reads key head h / (H/G) (grouped-query attention; G = 1 is multi-query). Nv may
/// differ from Nq (latent attention). lse [T,H]: log-sum-exp of the scaled scores, kept for
/// backward.
/// @param document_begin [T] index (within 0..T) of the first token of the token's document, or an
///   empty view; tokens see nothing before it, and bidirectional ones nothing of later documents.
/// Work is skipped for tiles that are masked completely.
/// Results do not depend on the thread count. @throws InvalidArgument where shapes differ.
void attention(Stream& s, const AttentionShape& shape, View<const Real> q, View<const Real> k,
               View<const Real> v, View<const int32_t> document_begin, View<Real> out,
               View<Real> lse);

/// Gradients dq, dk, dv (written, not accumulated); out and lse are the forward's.
void attention_backward(Stream& s, const AttentionShape& shape, View<const Real> q,
                        View<const Real> k, View<const Real> v, View<const int32_t> document_begin,
                        View<const Real> out, View<const Real> lse, View<const Real> dout,
                        View<Real> dq, View<Real> dk, View<Real> dv);

/// One decoding step: queries q [B,H,Nq] of the newest token of B sequences against cached keys
/// [B,P,G,Nq] and values [B,P,G,Nv] of which the first `lengths[b]` are valid; out [B,H,Nv].
void attention_decode(Stream& s, Real scale, View<const Real> q, View<const Real> keys,
                      View<const Real> values, View<const int32_t> lengths, View<Real> out);

}  // namespace hecate::kernels
